"""What the service is doing: `/status`, `/progress` and its stream, `/health`."""

import asyncio

import msgspec
from aiohttp import web

from stream_app.http.replies import SERVICE, Overloaded, reply
from stream_app.progressive import format_table
from stream_app.service import Service

STREAM_EVERY_S = 1.0
MOST_STREAMS = 64


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.get("/status", status),
        web.get("/progress", progress),
        web.get("/progress/stream", stream),
        web.get("/health/live", live),
        web.get("/health/ready", ready),
    ]


async def status(request: web.Request) -> web.Response:
    """The state in one object."""
    return reply(request.app[SERVICE].status())


async def progress(request: web.Request) -> web.Response:
    """The progressive table, as rows and as VW prints it, and every figure of the report."""
    return reply(_progress(request.app[SERVICE]))


async def stream(request: web.Request) -> web.StreamResponse:
    """The status once a second, as server-sent events. A client that cannot keep up is dropped."""
    service = request.app[SERVICE]
    if service.streams_open >= MOST_STREAMS:
        raise Overloaded(f"{MOST_STREAMS} streams are open: close one")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    # It waits rather than works: others are not held up by it, nor is learning.
    service.requests_under_way -= 1
    service.streams_open += 1
    try:
        await _follow(service, response)
    finally:
        service.requests_under_way += 1
        service.streams_open -= 1
    return response


async def _follow(service: Service, response: web.StreamResponse) -> None:
    while not service.is_stopping:
        data = msgspec.json.encode(service.status())
        try:
            await asyncio.wait_for(response.write(b"data: " + data + b"\n\n"), 10.0)
        except (ConnectionError, TimeoutError):
            break
        await asyncio.sleep(STREAM_EVERY_S)


async def live(request: web.Request) -> web.Response:
    """The process answers."""
    return reply({"status": "live"})


async def ready(request: web.Request) -> web.Response:
    """The newest checkpoint is restored, and the learner is sound."""
    service = request.app[SERVICE]
    problems = service.problems()
    return reply({"status": "ready" if not problems else "not ready", "problems": problems}, 503 if problems else 200)


def _progress(service: Service) -> dict[str, object]:
    progressive = service.trainer.parts.progressive
    rows = progressive.table()
    return {"rows": rows, "table": format_table(rows), "report": progressive.report()}
