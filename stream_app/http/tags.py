"""`/tags`: what is deployed under which name, since when, by whom; and deploying."""

import asyncio
from typing import Literal

import msgspec
from aiohttp import web

from checkpoints.tags import By, Deployment
from stream_app.deployments import Deployments
from stream_app.http.replies import SERVICE, body_of, reply
from stream_app.refusal import ServiceError


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /tags/{tag}`."""

    action: Literal["deploy", "back", "add", "remove", "hold"] = "deploy"
    model: str | None = None
    weight: float | None = None
    why: str = ""
    who: str | None = None
    figures: dict[str, object] = {}


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.get("/tags", listed),
        web.get("/tags/{tag}", show),
        web.post("/tags/{tag}", change),
        web.get("/tags/{tag}/history", history),
    ]


async def listed(request: web.Request) -> web.Response:
    """Every tag as it is served now."""
    served = request.app[SERVICE].deployments.all()
    return reply({"tags": [shown(one.tag, one.deployment) for one in served]})


async def show(request: web.Request) -> web.Response:
    """One tag as it is served now."""
    served = await request.app[SERVICE].deployments.served(request.match_info["tag"])
    return reply(shown(served.tag, served.deployment))


async def change(request: web.Request) -> web.Response:
    """Deploy, go back, add or remove; answers once it is durable and served."""
    wanted = body_of(await request.read(), Wanted)
    by = By(wanted.who or f"{request.remote} over HTTP", wanted.why, wanted.figures)
    tag = request.match_info["tag"]
    return reply(shown(tag, await changed(request.app[SERVICE].deployments, tag, wanted, by)))


async def history(request: web.Request) -> web.Response:
    """Every entry of a tag's history, newest first."""
    tag = request.match_info["tag"]
    entries = await asyncio.to_thread(request.app[SERVICE].deployments.tags.history, tag)
    return reply({"tag": tag, "history": [shown(tag, entry) for entry in reversed(entries)]})


async def changed(deployments: Deployments, tag: str, wanted: Wanted, by: By) -> Deployment:
    """Do what is wanted. Raises what `deployments` raises, and ServiceError where the wish is incomplete."""
    if wanted.action == "back":
        return await deployments.back(tag, by)
    if wanted.action == "hold":
        return await deployments.hold(tag, by)
    if wanted.model is None:
        raise ServiceError(f"model: required to {wanted.action}; the id of a checkpoint, `live`, or `newest` to deploy")
    if wanted.action == "deploy":
        return await deployments.deploy(tag, wanted.model, by)
    if wanted.action == "add":
        return await deployments.add(tag, wanted.model, wanted.weight, by)
    return await deployments.remove(tag, wanted.model, by)


def shown(tag: str, entry: Deployment) -> dict[str, object]:
    """An entry of a history, for people and programs."""
    return {
        "tag": tag,
        "primary": entry.primary,
        "candidates": entry.target.candidates,
        "shadows": entry.shadows,
        "number": entry.number,
        "action": entry.action,
        "at": entry.at,
        "who": entry.who,
        "why": entry.why,
        "previous": entry.previous,
        "figures": entry.figures,
        "follows_checkpoints": entry.rolling is not None,
    }
