"""`GET /shadows`: what the shadows saw and said."""

from aiohttp import web

from stream_app.http.replies import SERVICE, asked_number, reply
from stream_app.shadow_frames import KEPT


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/shadows", listed)]


async def listed(request: web.Request) -> web.Response:
    """All of them; `?over=N`: how they did over the last N labelled events."""
    over = asked_number(request, "over", KEPT, KEPT) if "over" in request.rel_url.query else None
    found = await request.app[SERVICE].shadows.report(over)
    return reply({"shadows": found})
