"""A prediction as it was served: the event, the answer, which model gave it, and the label that came."""

import hashlib
from collections.abc import Iterator

import msgspec

from stream_app.label_join import JsonLabel
from stream_app.logged import Logged
from stream_app.prediction_log import PredictionLog


class PastPrediction(msgspec.Struct, frozen=True):
    """What `GET /predictions/{id}` tells."""

    id: str
    event: str
    """The event for people; bytes that are no UTF-8 are replaced."""
    event_base64: bytes
    """The event as it came."""
    event_sha256: str
    """Of the event's bytes, in hexadecimal."""
    prediction: object
    model: str
    tag: str | None
    since: str | None
    """The checkpoint that the live model went back to; None for stored models, and before the first one."""
    at: float
    """Unix seconds."""
    label: JsonLabel | None
    labelled_at: float | None
    """When the label came, Unix seconds; None while it has not."""
    is_labelled: bool


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands in `predictions.topic`, one record per prediction."""

    id: str
    at: float
    model: str | None
    prediction: object
    event_sha256: str
    tag: str | None = None
    event: str | None = None


def past_prediction(log: PredictionLog, event_id: str) -> PastPrediction | None:
    """What was predicted under this id; None where it is not known."""
    found = log.get(event_id)
    return None if found is None or found.answered.model is None else told(found, found.answered.model)


def latest(log: PredictionLog, limit: int) -> Iterator[PastPrediction]:
    """The newest predictions, newest first."""
    return (told(logged, logged.answered.model) for logged in log.latest(limit) if logged.answered.model is not None)


def record_of(logged: Logged, has_features: bool) -> bytes:
    """What is told others of a prediction: the hash of its event, or the event too."""
    answered = logged.answered
    return msgspec.json.encode(
        Record(
            id=logged.id,
            at=logged.seen_at,
            model=answered.model,
            prediction=answered.answer,
            event_sha256=_sha256(logged.payload),
            tag=answered.tag,
            event=logged.payload.decode(errors="replace") if has_features else None,
        )
    )


def told(logged: Logged, model: str) -> PastPrediction:
    """A prediction for people and programs."""
    return PastPrediction(
        id=logged.id,
        event=logged.payload.decode(errors="replace"),
        event_base64=logged.payload,
        event_sha256=_sha256(logged.payload),
        prediction=logged.answered.answer,
        model=model,
        tag=logged.answered.tag,
        since=logged.answered.since,
        at=logged.seen_at,
        label=logged.label,
        labelled_at=logged.labelled_at,
        is_labelled=logged.is_labelled,
    )


def _sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
