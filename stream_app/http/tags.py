"""`/tags`: what is deployed under which name, since when, by whom; and deploying."""

import asyncio

from aiohttp import web

from checkpoints.tags import By
from stream_app.deployments import Wanted, changed, shown
from stream_app.http.replies import SERVICE, body_of, reply


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
