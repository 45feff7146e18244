"""`POST /events` and `POST /labels`: what is to be learnt, durable before the answer."""

import msgspec
from aiohttp import web

from stream_app.http.replies import SERVICE, reply

JsonLabel = int | float | str | bool | dict[str, int | float]


class LateLabel(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `/labels`: the id of a prediction, and what came true."""

    id: str | int
    label: JsonLabel


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.post("/events", append), web.post("/labels", label), web.get("/dead-letters", dead_letters)]


async def append(request: web.Request) -> web.Response:
    """Append events: all of them, or none where one cannot be learnt."""
    serving = request.app[SERVICE].serving
    payloads = serving.split(await request.read())
    given = await serving.append(payloads)
    return reply({"accepted": len(payloads), "positions": _positions(given)}, 202)


async def label(request: web.Request) -> web.Response:
    """Join a late label with the features of its prediction, and append the completed event."""
    late = msgspec.json.decode(await request.read(), type=LateLabel)
    given = await request.app[SERVICE].serving.label(str(late.id), late.label)
    return reply({"accepted": 1, "positions": _positions(given)}, 202)


async def dead_letters(request: web.Request) -> web.Response:
    """The latest dead letters, `?limit=` of them."""
    limit = request.rel_url.query.get("limit", "100")
    if not limit.isdigit() or not 1 <= int(limit) <= 10_000:
        raise web.HTTPBadRequest(text=f"limit: {limit!r} is not a whole number from 1 to 10000")
    letters = request.app[SERVICE].dead_letters
    return reply({"kept": len(letters), "latest": [letter.shown() for letter in letters.latest(int(limit))]})


def _positions(given: dict[int, range]) -> list[dict[str, int]]:
    return [{"partition": part, "first": offsets[0], "next": offsets[-1] + 1} for part, offsets in given.items()]
