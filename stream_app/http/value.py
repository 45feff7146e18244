"""`GET /value`: what the decisions earned."""

from aiohttp import web

from stream_app.http.replies import SERVICE, reply
from stream_app.progressive.rows import ratio
from stream_app.shadows import ShadowReport


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/value", value)]


async def value(request: web.Request) -> web.Response:
    """The live model's, and each shadow's beside that of its primary on the same events."""
    service = request.app[SERVICE]
    counted = service.trainer.value
    if counted is None:
        raise web.HTTPNotFound(text="no money is set: name all four value.cells in the settings")
    shadows = [_shadow(one) for one in await service.shadows.report()]
    return reply({**counted.report(), "shadows": shadows})


def _shadow(one: ShadowReport) -> dict[str, object]:
    figures = one.status.figures if one.status is not None else None
    found: dict[str, object] = {"name": one.name, "tag": one.tag, "primary": one.primary}
    if figures is None or figures.value is None or figures.primary_value is None:
        return {**found, "count": 0, "value": None, "primary_value": None, "over_primary": None, "per_1000": None}
    return {
        **found,
        "count": figures.examples,
        "value": figures.value,
        "primary_value": figures.primary_value,
        "over_primary": figures.value - figures.primary_value,
        "per_1000": ratio(1000.0 * figures.value, figures.examples),
    }
