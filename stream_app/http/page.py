"""`GET /`, the page a person looks at, and `GET /openapi.json`, what a program reads instead."""

import html

from aiohttp import web

from stream_app.http.openapi import document
from stream_app.http.replies import SERVICE, reply
from stream_app.progressive import format_table
from stream_app.service import Service

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Weir: {name}</title>
<style>body{{font:16px/1.5 system-ui;margin:2rem;max-width:60rem}}td,th{{padding:.1rem 1rem .1rem 0;text-align:left}}
pre{{overflow-x:auto}}</style>
<h1>{name}</h1><table>{rows}</table><h2>Progressive table</h2><pre>{table}</pre>
<p><a href="/progress">progress</a> · <a href="/checkpoints">checkpoints</a> ·
<a href="/dead-letters">dead letters</a> · <a href="/metrics">metrics</a> · <a href="/openapi.json">openapi.json</a></p>
"""


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/", page), web.get("/openapi.json", openapi)]


async def page(request: web.Request) -> web.Response:
    """The status and the progressive table, for a person."""
    return web.Response(text=_rendered(request.app[SERVICE]), content_type="text/html")


async def openapi(request: web.Request) -> web.Response:
    """The description of every route."""
    return reply(document())


def _rendered(service: Service) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in service.status().items()
    )
    table = format_table(service.trainer.parts.progressive.table())
    return _PAGE.format(name=html.escape(service.settings.model.name), rows=rows, table=html.escape(table))
