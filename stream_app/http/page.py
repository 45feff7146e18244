"""`GET /`, the page a person looks at, its assets, and `GET /openapi.json`, what a program reads instead."""

import hashlib
from importlib.resources import files

from aiohttp import web

from stream_app.http.openapi import document
from stream_app.http.replies import reply

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own assets, and nothing from anywhere else."""


class Asset:
    """A file of the page, as it is sent."""

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.headers = {
            "Content-Type": f"{_TYPES['.' + name.rpartition('.')[2]]}; charset=utf-8",
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        }

    def answer(self, request: web.Request) -> web.Response:
        """All of it, or that the browser has it already."""
        if self.headers["ETag"] in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=self.headers)
        return web.Response(body=self.body, headers=self.headers)


_ASSETS = web.AppKey("assets", dict[str, Asset])


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/", page), web.get("/assets/{name}", asset), web.get("/openapi.json", openapi)]


def load(app: web.Application) -> None:
    """Read the page once, for as long as the application runs."""
    folder = files("stream_app.http") / "assets"
    app[_ASSETS] = {entry.name: Asset(entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.is_file()}


async def page(request: web.Request) -> web.Response:
    """Learning, serving and their worth, live, for a person."""
    return request.app[_ASSETS]["index.html"].answer(request)


async def asset(request: web.Request) -> web.Response:
    """A file that the page needs."""
    found = request.app[_ASSETS].get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return found.answer(request)


async def openapi(request: web.Request) -> web.Response:
    """The description of every route."""
    return reply(document())
