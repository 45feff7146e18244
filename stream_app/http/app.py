"""The HTTP application: routes put together, and what holds for all of them: token, limits, errors."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from stream_app.config import ConfigError, HttpSettings
from stream_app.http import checkpoints, events, metrics, page, predict, status
from stream_app.http.replies import SERVICE, Overloaded, Unauthorized, error_reply, is_trusted, of_error
from stream_app.service import Service

log = logging.getLogger(__name__)


def build_app(service: Service) -> web.Application:
    """The application for a service. Raises ConfigError where it would be open to the network without a token."""
    http = service.settings.http
    check_exposure(http)
    app = web.Application(client_max_size=http.max_body_bytes, middlewares=[_guard(service)])
    app[SERVICE] = service
    for routes in (predict.routes, events.routes, checkpoints.routes, status.routes, metrics.routes, page.routes):
        app.add_routes(routes())
    return app


def check_exposure(http: HttpSettings) -> None:
    """Raises ConfigError for a host that others can reach, if no token is set."""
    if http.token is None and not _is_loopback(http.host):
        raise ConfigError(
            f"http.host: {http.host!r} can be reached from other machines: set WEIR_HTTP_TOKEN (or "
            "WEIR_HTTP_TOKEN_FILE), or listen on 127.0.0.1"
        )


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
        if request.path == "/predict" and request.method == "POST":
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
            if request.method == "POST":
                _check_origin(request)
                if http.token is not None and request.path != "/predict":
                    _check_token(request, http.token)
            return await handler(request)
        except Exception as error:  # noqa: BLE001 the outermost loop of a request
            return _answer(request, error)
        finally:
            service.requests_under_way -= 1

    return guard


def _answer(request: web.Request, error: Exception) -> web.Response:
    try:
        return of_error(error)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return error_reply(500, "internal", "the service failed on this request; its log says more")


def _check_origin(request: web.Request) -> None:
    """A page of another site must not change this service through the browser of somebody who can reach it."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise web.HTTPForbidden(text=f"requests from pages of {origin} are not taken")


def _check_token(request: web.Request, token: str) -> None:
    if not is_trusted(request, token):
        raise Unauthorized("this route needs `Authorization: Bearer <token>`")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
