"""`POST /predict`: the live model's answer."""

import time

from aiohttp import web

from stream_app.http.metrics import PREDICT_SECONDS
from stream_app.http.replies import SERVICE, reply
from stream_app.serving import Serving


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.post("/predict", predict)]


async def predict(request: web.Request) -> web.Response:
    """One event gives one answer, a list of them a list."""
    return await answer(request.app[SERVICE].serving, request)


async def answer(serving: Serving, request: web.Request) -> web.Response:
    """The same where the request has not been through the router."""
    body = (await request.read()).strip()
    started = time.perf_counter()
    if request.query_string:
        query = request.rel_url.query
        answers = serving.predict(body, query.get("id"), query.get("explain", "0") not in ("0", ""))
    else:
        answers = serving.predict(body)
    PREDICT_SECONDS.observe(time.perf_counter() - started)
    is_many = len(answers) > 1 or body.startswith(b"[")
    return reply(answers if is_many else answers[0])
