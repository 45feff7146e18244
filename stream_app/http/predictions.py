"""`GET /predictions` and `/predictions/{id}`: what was predicted, by which model, and what came true."""

from aiohttp import web

from stream_app.http.replies import as_many_as_fit, asked_number, reply, trusted
from stream_app.serving import UnknownId

MOST = 1_000


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/predictions", listed), web.get("/predictions/{id}", show)]


async def listed(request: web.Request) -> web.Response:
    """The newest `?limit=` predictions, up to MOST_BYTES. Needs the token, where one is set: they tell features."""
    service = trusted(request)
    latest = service.serving.latest(asked_number(request, "limit", 20, MOST))
    return reply({"predictions": as_many_as_fit(latest, lambda one: len(one.event_base64))})


async def show(request: web.Request) -> web.Response:
    """The event, the answer, the model and the label, as long as they are kept. Needs the token, where one is set."""
    service = trusted(request)
    event_id = request.match_info["id"]
    found = service.serving.past(event_id)
    if found is None:
        raise UnknownId(f"id: no prediction of {event_id!r} is kept")
    return reply(found)
