"""`POST /predict`, `/model/{id}/predict`, `/tag/{tag}/predict`: answers of the live model, and of stored ones."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec
from aiohttp import web

from stream_app.http.answer import Answer, may_be_sent_at_once
from stream_app.http.replies import SERVICE, is_tried, is_trusted, reply
from stream_app.service import Service
from stream_app.serving import Asked, Prediction

LINE_ENDS = b"\r\n"
"""Of a body, what no event needs; blanks and tabs may be cells at the ends of a row."""


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [
        web.post("/predict", predict),
        web.post("/model/{id}/predict", predict_by_model),
        web.post("/tag/{tag}/predict", predict_for_tag),
    ]


async def predict(request: web.Request) -> web.StreamResponse:
    """One event gives one answer, a list of them a list."""
    return await answer(request.app[SERVICE], request)


async def answer(service: Service, request: web.Request) -> web.StreamResponse:
    """The same where the request has not been through the router."""
    body = await _body(request)
    asked = _asked(service, request)
    with _timed(service, asked):
        answers = service.serving.predict(body, asked)
    return _reply(request, answers, body)


async def predict_by_model(request: web.Request) -> web.StreamResponse:
    """The same by a stored model."""
    service = request.app[SERVICE]
    body = await _body(request)
    model = await service.models.get(request.match_info["id"])
    asked = _asked(service, request)
    with _timed(service, asked):
        answers = service.serving.predict_by(model, body, asked)
    return _reply(request, answers, body)


async def predict_for_tag(request: web.Request) -> web.StreamResponse:
    """The same by the model that a tag points at, at the moment when the request has been read whole."""
    service = request.app[SERVICE]
    body = await _body(request)
    served = await service.deployments.served(request.match_info["tag"])
    asked = _asked(service, request, served.tag)
    with _timed(service, asked):
        answers = service.serving.predict_for(served, body, asked)
    return _reply(request, answers, body)


async def _body(request: web.Request) -> bytes:
    content = request.content
    has_come = content.is_eof() and content.total_bytes <= request.client_max_size
    body = (content.read_nowait() if has_come else await request.read()).strip(LINE_ENDS)
    while body.endswith(b" ") and b"\n" in body and not body[body.rindex(b"\n") :].strip(b" \r\n"):
        body = body[: body.rindex(b"\n")].rstrip(LINE_ENDS)  # a last line of blanks is no event
    return body


def _asked(service: Service, request: web.Request, tag: str | None = None) -> Asked:
    # What a stranger predicts is not kept: its features would be learnt with somebody else's label.
    is_kept = is_trusted(request, service.settings.http.token)
    if not request.query_string:
        return Asked(tag=tag, is_kept=is_kept)
    query = request.rel_url.query
    is_explained, tried = query.get("explain", "0") not in ("0", ""), is_tried(request)
    return Asked(query.get("id") or None, query.get("unit") or None, tag, is_explained, is_kept and not tried, tried)


def _timed(service: Service, asked: Asked) -> AbstractContextManager[None]:
    """Counts as a step of this stage, unless somebody only tries."""
    return nullcontext() if asked.is_tried else service.monitor.timed("predict")


def _reply(request: web.Request, answers: Sequence[Prediction], body: bytes) -> web.StreamResponse:
    is_many = len(answers) > 1 or body.lstrip().startswith(b"[")
    value = answers if is_many else answers[0]
    return Answer(msgspec.json.encode(value)) if may_be_sent_at_once(request) else reply(value)
