"""The HTTP application: routes put together, and what holds for all of them: token, limits, errors."""

import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from stream_app.http import (
    alerts,
    checkpoints,
    events,
    metrics,
    page,
    predict,
    predictions,
    shadows,
    status,
    tags,
    value,
    watch,
)
from stream_app.http.exposure import check_exposure, check_host, check_origin
from stream_app.http.replies import SERVICE, Overloaded, check_token, error_reply, is_tried, of_error
from stream_app.monitor import Monitor
from stream_app.service import Service
from stream_app.settings import ConfigError, HttpSettings

log = logging.getLogger(__name__)


def build_app(service: Service) -> web.Application:
    """The application for a service. Raises ConfigError where it would be open to the network without a token."""
    http = service.settings.http
    check_exposure(http)
    app = web.Application(client_max_size=http.max_body_bytes, middlewares=[_guard(service)])
    app[SERVICE] = service
    for subject in (
        predict, predictions, events, checkpoints, tags, shadows, value, status, watch, alerts, metrics, page,
    ):  # fmt: skip
        app.add_routes(subject.routes())
    page.load(app)
    return app


async def listen(app: web.Application, http: HttpSettings) -> tuple[web.ServerRunner, int]:
    """Start listening; returns the runner and the port. Raises ConfigError where the address cannot be had."""
    app.freeze()
    server = web.Server(_dispatcher(app), request_factory=app._make_request, access_log=None)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=5.0)
    await runner.setup()
    site = web.TCPSite(runner, http.host, http.port, reuse_address=True)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"http.port: {http.host}:{http.port} cannot be listened on: {error.strerror}") from error
    return runner, runner.addresses[0][1]


def _dispatcher(app: web.Application) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Every request goes to the application, but `POST /predict` straight to its handler, past aiohttp's router.

    Finding the route and calling the middleware cost 8 of the 31 us that aiohttp takes for a request.
    """
    service = app[SERVICE]
    guard, handle = _guard(service), app._handle

    async def predicted(request: web.Request) -> web.StreamResponse:
        return await predict.answer(service, request)

    async def dispatch(base: web.BaseRequest) -> web.StreamResponse:
        request = cast("web.Request", base)  # as the application makes them
        if request.path == "/predict" and request.method == "POST" and "Expect" not in request.headers:
            return await guard(request, predicted)
        return await handle(request)

    return dispatch


def _guard(service: Service) -> Middleware:
    http = service.settings.http

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        service.requests_under_way += 1
        try:
            if service.requests_under_way > http.max_waiting and not request.path.startswith("/health/"):
                raise Overloaded(f"{http.max_waiting} requests are under way (http.max_waiting): try again later")
            check_host(request, http)
            if request.method == "POST":
                service.monitor.requests += not is_tried(request)
                check_origin(request)
                if not _is_predict(request):
                    check_token(request, http.token)
            return await handler(request)
        except ConnectionError:  # whoever asked is gone, and hears nothing more
            return web.Response(status=400)
        except Exception as error:  # noqa: BLE001 the outermost loop of a request
            answer = _answer(request, error)
            _count(service.monitor, request, answer.status)
            return answer
        finally:
            service.requests_under_way -= 1

    return guard


def _answer(request: web.Request, error: Exception) -> web.Response:
    try:
        return of_error(error)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return error_reply(500, "internal", "the service failed on this request; its log says more")


def _count(monitor: Monitor, request: web.Request, status: int) -> None:
    """An error of the service; of requests, also an event that `/predict` refused. Strangers are none."""
    if is_tried(request):
        return
    is_own = status >= 500 or status == 429
    if is_own:
        monitor.errors["http"] += 1
    if request.method == "POST" and (is_own or (status in (400, 413) and _is_predict(request))):
        monitor.request_errors += 1


def _is_predict(request: web.Request) -> bool:
    """Whether it only asks for predictions. A tag may have any name, `predict` too."""
    path = request.rel_url.raw_path
    return path == "/predict" or (path.startswith(("/model/", "/tag/")) and path.endswith("/predict"))
