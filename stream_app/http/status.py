"""What the service is doing: `/status`, `/progress`, its curves and its stream, `/health`."""

from aiohttp import web

from stream_app.http.event_stream import streamed
from stream_app.http.replies import SERVICE, reply
from stream_app.progressive import format_table
from stream_app.service import Service


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.get("/status", status),
        web.get("/progress", progress),
        web.get("/progress/curves", curves),
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


async def curves(request: web.Request) -> web.Response:
    """What can be drawn of the figures: distributions, ROC, precision and recall, calibration, confusions."""
    return reply(request.app[SERVICE].trainer.parts.progressive.curves())


async def stream(request: web.Request) -> web.StreamResponse:
    """The status once a second, as server-sent events. A client that cannot keep up is dropped."""
    return await streamed(request, lambda seen: seen.status)


async def live(request: web.Request) -> web.Response:
    """The process answers."""
    return reply({"status": "live"})


async def ready(request: web.Request) -> web.Response:
    """The newest checkpoint is restored, and the learner is sound. Warnings, as of a broker away, do not count."""
    service = request.app[SERVICE]
    problems = service.problems()
    state = {
        "status": "not ready" if problems else "ready",
        "role": service.role,
        "problems": problems,
        "warnings": service.warnings(),
    }
    return reply(state, 503 if problems else 200)


def _progress(service: Service) -> dict[str, object]:
    progressive = service.trainer.parts.progressive
    rows = progressive.table()
    return {"rows": rows, "table": format_table(rows), "report": progressive.report()}
