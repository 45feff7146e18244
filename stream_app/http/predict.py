"""`POST /predict`: the live model's answer."""

import time

from aiohttp import web

from stream_app.http.metrics import PREDICT_SECONDS
from stream_app.http.replies import SERVICE, is_trusted, reply
from stream_app.service import Service


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.post("/predict", predict)]


async def predict(request: web.Request) -> web.Response:
    """One event gives one answer, a list of them a list."""
    return await answer(request.app[SERVICE], request)


async def answer(service: Service, request: web.Request) -> web.Response:
    """The same where the request has not been through the router."""
    body = (await request.read()).strip()
    started = time.perf_counter()
    # What a stranger predicts is not remembered: its features would be learnt with somebody else's label.
    is_kept = is_trusted(request, service.settings.http.token)
    if request.query_string:
        query = request.rel_url.query
        is_explained = query.get("explain", "0") not in ("0", "")
        answers = service.serving.predict(body, query.get("id"), is_explained, is_kept)
    else:
        answers = service.serving.predict(body, is_kept=is_kept)
    PREDICT_SECONDS.observe(time.perf_counter() - started)
    is_many = len(answers) > 1 or body.startswith(b"[")
    return reply(answers if is_many else answers[0])
