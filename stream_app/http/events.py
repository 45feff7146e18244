"""`POST /events` and `POST /labels`: what is to be learnt, durable before the answer."""

from aiohttp import web

from stream_app.http.replies import SERVICE, as_many_as_fit, asked_number, body_of, reply, trusted
from stream_app.label_join import LateLabel

MOST_LETTERS = 10_000


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.post("/events", append),
        web.get("/events/latest", latest),
        web.post("/labels", label),
        web.get("/dead-letters", dead_letters),
    ]


async def append(request: web.Request) -> web.Response:
    """Append events: all of them, or none where one cannot be learnt."""
    serving = request.app[SERVICE].serving
    payloads = serving.split(await request.read())
    given = await serving.append(payloads)
    return reply({"accepted": len(payloads), "positions": _positions(given)}, 202)


async def latest(request: web.Request) -> web.Response:
    """The event that was learnt last, as it came. Needs the token, where one is set: it tells features."""
    service = trusted(request)
    if service.monitor.latest is None:
        raise web.HTTPNotFound(text="no event was learnt since the service started")
    return reply({"event": service.monitor.latest.decode(errors="replace")})


async def label(request: web.Request) -> web.Response:
    """Join a late label with the features of its prediction, and append the completed event."""
    late = body_of(await request.read(), LateLabel)
    service = request.app[SERVICE]
    with service.monitor.timed("join"):
        given = await service.serving.label(str(late.id), late.label)
    return reply({"accepted": 1, "positions": _positions(given)}, 202)


async def dead_letters(request: web.Request) -> web.Response:
    """The latest dead letters, `?limit=` of them, up to MOST_BYTES. Needs the token, where one is set."""
    letters = trusted(request).dead_letters
    newest = letters.latest(asked_number(request, "limit", 100, MOST_LETTERS))
    shown = as_many_as_fit(newest, lambda letter: len(letter.payload))
    return reply({"kept": len(letters), "latest": [letter.shown() for letter in shown]})


def _positions(given: dict[int, range]) -> list[dict[str, int]]:
    return [{"partition": part, "first": offsets[0], "next": offsets[-1] + 1} for part, offsets in given.items()]
