"""`GET /watch` and its stream: what the page shows, for the time so far, and then once a second."""

import msgspec
from aiohttp import web

from stream_app.event_form import event_form
from stream_app.http.event_stream import streamed
from stream_app.http.replies import SERVICE, reply


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/watch", show), web.get("/watch/stream", stream)]


async def show(request: web.Request) -> web.Response:
    """All rows so far, the last frame, and how events are written."""
    service = request.app[SERVICE]
    watch = service.watch
    return reply(
        {
            "columns": ["at", *watch.series.columns],
            "rows": watch.series.rows,
            "frame": msgspec.Raw(watch.seen.frame),
            "events": event_form(service.settings, service.trainer.parts.format),
        }
    )


async def stream(request: web.Request) -> web.StreamResponse:
    """A frame a second, as server-sent events. A client that cannot keep up is dropped."""
    return await streamed(request, lambda seen: seen.frame)
