"""What every route answers with: JSON, and errors in one form. Knows the errors of all layers and their status."""

import hmac
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing, HeadMoved, LedgerNameError
from checkpoints.tags import TagError, UnknownTag
from formats.example import FormatError
from learners.learner import LearnerError
from stream_app.deployments import Insane
from stream_app.invalid import place_and_reason, with_choices
from stream_app.refusal import NotLearning, ServiceError
from stream_app.service import Service
from stream_app.serving import AlreadyLabelled, EventTooLarge, UnknownId
from stream_app.sources.source import ReadOnly, SourceError, SourceFull
from stream_app.trainer import TrainerError

SERVICE = web.AppKey("service", Service)

Row = TypeVar("Row")
Body = TypeVar("Body", bound=msgspec.Struct)

MOST_BYTES = 8 << 20
"""Events told in one answer."""

_STATUS: list[tuple[type[Exception], int, str]] = [
    (FormatError, 400, "invalid_event"),
    (msgspec.DecodeError, 400, "invalid_json"),
    (LearnerError, 400, "not_possible"),
    (NotLearning, 409, "not_learning"),
    (Insane, 409, "insane"),
    (ServiceError, 400, "not_possible"),
    (UnknownId, 404, "unknown_id"),
    (AlreadyLabelled, 409, "already_labelled"),
    (EventTooLarge, 413, "too_large"),
    (UnknownTag, 404, "unknown_tag"),
    (TagError, 409, "tag_not_changed"),
    (CheckpointMissing, 404, "unknown_checkpoint"),
    (CheckpointDamaged, 409, "checkpoint_damaged"),
    (HeadMoved, 409, "head_moved"),
    (LedgerNameError, 400, "bad_name"),
    (CheckpointError, 503, "checkpoint_failed"),
    (TrainerError, 409, "checkpoint_does_not_fit"),
    (ReadOnly, 409, "read_only"),
    (SourceFull, 503, "source_full"),
    (SourceError, 503, "source_failed"),
]
_JSON = {"Content-Type": "application/json"}
_FIELD = re.compile(r"((?:\[\d+\]\.?)?[\w.^-]*): ")


class Unauthorized(Exception):
    """A route that changes something, without the token."""


class Overloaded(Exception):
    """More requests under way than http.max_waiting."""


def body_of(content: bytes, kind: type[Body]) -> Body:
    """The JSON body of a request. Raises msgspec.ValidationError, which lists the words that may stand there."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise with_choices(error, kind) from error


def reply(value: object, status: int = 200) -> web.Response:
    """The value as JSON."""
    return web.Response(body=msgspec.json.encode(value), status=status, headers=_JSON)


def asked_number(request: web.Request, name: str, default: int, most: int) -> int:
    """A whole number of the query, from 1 to `most`. Raises ServiceError naming it."""
    text = request.rel_url.query.get(name, str(default))
    if text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most:
        return int(text)
    raise ServiceError(f"{name}: {text[:60]!r}: expected a whole number from 1 to {most}")


def as_many_as_fit(rows: Iterable[Row], size_bytes: Callable[[Row], int]) -> list[Row]:
    """The first of them, MOST_BYTES together, and one in any case."""
    found: list[Row] = []
    total = 0
    for row in rows:
        total += size_bytes(row)
        if found and total > MOST_BYTES:
            break
        found.append(row)
    return found


def error_reply(status: int, code: str, message: str, field: str | None = None) -> web.Response:
    """`{"error": {"code", "message", "field"}}`."""
    answer = reply({"error": {"code": code, "message": message, "field": field}}, status)
    if code in ("overloaded", "source_full"):
        answer.headers["Retry-After"] = "1"
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def of_error(error: Exception) -> web.Response:
    """The reply for an error of any layer; raises it again if nobody foresaw it."""
    if isinstance(error, Unauthorized):
        return error_reply(401, "unauthorized", str(error))
    if isinstance(error, Overloaded):
        return error_reply(429, "overloaded", str(error))
    if isinstance(error, RequestPayloadError):
        return error_reply(400, "invalid_body", f"the body cannot be read: {error}")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return error_reply(413, "too_large", f"{error.text} (http.max_body_bytes) Send fewer events at once.")
    if isinstance(error, web.HTTPException):
        return error_reply(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
    if isinstance(error, msgspec.ValidationError):
        place, reason = place_and_reason(error)
        return error_reply(400, "invalid_body", f"{place}: {reason}" if place else reason, place or None)
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return error_reply(status, code, str(error), _field(str(error)))
    raise error


def _field(message: str) -> str | None:
    """The field that a message of the formats is about: `label: …`, `[3].label: …`."""
    named = _FIELD.match(message)
    return named[1].rstrip(".") or None if named is not None else None


def trusted(request: web.Request) -> Service:
    """The service, for a route that tells features. Raises Unauthorized where its token is set and not brought."""
    service = request.app[SERVICE]
    check_token(request, service.settings.http.token, "this route tells features: it")
    return service


def check_token(request: web.Request, token: str | None, what: str = "this route") -> None:
    """Raises Unauthorized where a token is set and this request does not bring it."""
    if not is_trusted(request, token):
        given = "this is another one" if "Authorization" in request.headers else "it is missing"
        raise Unauthorized(f"{what} needs `Authorization: Bearer <token>`, and {given}; commands read WEIR_HTTP_TOKEN")


def is_tried(request: web.BaseRequest) -> bool:
    """Whether somebody only tries: `?keep=0`."""
    return bool(request.query_string) and request.rel_url.query.get("keep") == "0"


def is_trusted(request: web.Request, token: str | None) -> bool:
    """Whether what this request says may be kept: no token is set, or it brings the token."""
    if token is None:
        return True
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())
