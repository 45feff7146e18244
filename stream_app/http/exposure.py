"""Who can reach the service, and which requests come from pages of other sites."""

import functools
import ipaddress

from aiohttp import web

from stream_app.settings import ConfigError, HttpSettings


def check_exposure(http: HttpSettings) -> None:
    """Raises ConfigError for a host that others can reach, if no token is set."""
    if http.token is None and not _is_loopback(http.host):
        raise ConfigError(
            f"http.host: {http.host!r} can be reached from other machines: set WEIR_HTTP_TOKEN (or "
            "WEIR_HTTP_TOKEN_FILE), or listen on 127.0.0.1"
        )


def check_host(request: web.Request, http: HttpSettings) -> None:
    """Without a token, only who calls the service by address, by localhost or by a name of `http.hosts` is answered.

    Any other site can have its name lead to this machine, and then its page is of the same origin as the service (DNS
    rebinding): the name is all that tells them apart.
    """
    host = request.headers.get("Host")
    if http.token is None and host is not None and not _is_own(host) and _name(host) not in map(_name, http.hosts):
        raise web.HTTPForbidden(
            text=f"{host[:100]!r} is no name of this service: ask by address or localhost, or name it in http.hosts"
        )


def check_origin(request: web.Request) -> None:
    """A page of another site must not change this service through the browser of somebody who can reach it."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise web.HTTPForbidden(text=f"requests from pages of {origin} are not taken")


@functools.lru_cache(maxsize=64)
def _is_own(host: str) -> bool:
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost") or _address(name) is not None


def _name(host: str) -> str:
    """
    >>> _name("LocalHost:8080"), _name("box.local."), _name("[::1]:8080"), _name("::1")
    ('localhost', 'box.local', '::1', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return (host.rpartition(":")[0] if host.count(":") == 1 else host).rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
