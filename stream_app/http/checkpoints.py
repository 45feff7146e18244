"""`/checkpoints` and `/rollback`: the moments that can be gone back to."""

import asyncio

import msgspec
from aiohttp import web

from checkpoints.errors import CheckpointError
from stream_app.differences import Differences, differences
from stream_app.http.replies import SERVICE, asked_number, body_of, reply, trusted
from stream_app.importance import movement
from stream_app.listing import short
from stream_app.loaded_models import named
from stream_app.refusal import ServiceError
from stream_app.rollback import Rollback

MOST_SHOWN = 10_000
"""Features and fields in one answer."""


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.get("/checkpoints", listed),
        web.post("/checkpoints", take),
        web.get("/checkpoints/{id}", show),
        web.get("/checkpoints/{id}/diff/{other}", diff),
        web.get("/checkpoints/{id}/importance", importance),
        web.post("/rollback", rollback),
    ]


async def listed(request: web.Request) -> web.Response:
    """All checkpoints, newest first."""
    store = request.app[SERVICE].store
    summaries = await asyncio.to_thread(store.list)
    return reply({"head": store.head(), "checkpoints": [short(summary) for summary in summaries]})


async def take(request: web.Request) -> web.Response:
    """Take a checkpoint now, and answer once it is durable."""
    return reply({"id": await request.app[SERVICE].checkpoint()}, 201)


async def show(request: web.Request) -> web.Response:
    """The manifest of a checkpoint, every byte of the package verified."""
    service = request.app[SERVICE]
    model_id = await named(service.store, request.match_info["id"])
    checkpoint = await asyncio.to_thread(service.store.load, model_id)
    return reply({"id": model_id, "manifest": checkpoint.manifest})


async def diff(request: web.Request) -> web.Response:
    """What is different in the second one, worked out in a thread; `?top=`: so many of the weights that moved most."""
    service = trusted(request)
    top = asked_number(request, "top", 10, MOST_SHOWN)
    ids = [await named(service.store, request.match_info[name]) for name in ("id", "other")]

    def compared() -> Differences:
        before, after = (service.store.load(model_id) for model_id in ids)
        return differences(service.settings, before, after, top)

    return reply(await asyncio.to_thread(compared))


async def importance(request: web.Request) -> web.Response:
    """What the model of a checkpoint goes by; with `since`, how that differs from an older one's."""
    service, query = trusted(request), request.rel_url.query
    top = asked_number(request, "top", 20, MOST_SHOWN)
    model_id = await named(service.store, request.match_info["id"])
    found = await service.importance.of(model_id)
    moved = None
    if "since" in query:
        moved = movement(await service.importance.of(await named(service.store, query["since"])), found).top(top)
    return reply({**msgspec.to_builtins(found.top(top)), "since": moved})


async def rollback(request: web.Request) -> web.Response:
    """Take the model of an older checkpoint; answers with the checkpoint that records it."""
    try:
        wanted = body_of(await request.read(), Rollback)
    except CheckpointError as error:
        raise ServiceError(f"except: {error}") from error
    service = request.app[SERVICE]
    model_id = await service.rollback(wanted)
    return reply({"id": model_id, "model": service.trainer.live_id})
