"""`GET /alerts`: what the rules say, and what has changed lately."""

from aiohttp import web

from stream_app.http.replies import SERVICE, reply


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/alerts", alerts)]


async def alerts(request: web.Request) -> web.Response:
    """`firing`, every rule with its state, and the latest changes."""
    return reply(request.app[SERVICE].alerting.status())
