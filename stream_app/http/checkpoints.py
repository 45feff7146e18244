"""`/checkpoints` and `/rollback`: the moments that can be gone back to."""

import asyncio

import msgspec
from aiohttp import web

from checkpoints.checkpoint import Summary
from checkpoints.errors import CheckpointError
from stream_app.http.replies import SERVICE, reply
from stream_app.service import Rollback, ServiceError


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.get("/checkpoints", listed),
        web.post("/checkpoints", take),
        web.get("/checkpoints/{id}", show),
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
    model_id = await service.named(request.match_info["id"])
    checkpoint = await asyncio.to_thread(service.store.load, model_id)
    return reply({"id": model_id, "manifest": checkpoint.manifest})


async def rollback(request: web.Request) -> web.Response:
    """Take the model of an older checkpoint; answers with the checkpoint that records it."""
    try:
        wanted = msgspec.json.decode(await request.read(), type=Rollback)
    except CheckpointError as error:
        raise ServiceError(f"except: {error}") from error
    service = request.app[SERVICE]
    model_id = await service.rollback(wanted)
    return reply({"id": model_id, "model": service.trainer.live_id})


def short(summary: Summary) -> dict[str, object]:
    """A line of a listing."""
    manifest = summary.manifest
    total = manifest.metrics.get("total") if manifest is not None else None
    return {
        "id": summary.id,
        "created_at": summary.note.created_at if summary.note is not None else None,
        "why": summary.note.why if summary.note is not None else None,
        "position": manifest.position if manifest is not None else None,
        "parent": manifest.parent if manifest is not None else None,
        "average_loss": total.get("average_loss") if isinstance(total, dict) else None,
        "examples": total.get("examples") if isinstance(total, dict) else None,
        "size_bytes": summary.size_bytes,
        "damage": summary.damage,
    }
