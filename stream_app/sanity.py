"""The sanity set: golden events, and what a sane model says of them. What fails it is kept, but never deployed."""

import math
from pathlib import Path

import msgspec

from formats.example import FormatError
from learners.learner import LearnerError
from stream_app.settings import ConfigError
from stream_app.stored_model import StoredModel

MOST_BYTES = 16 << 20
TOLD = 3
"""Failures that are told one by one."""


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of the file: an event, an object or a text as `events.format` has it, and the bounds of its prediction."""

    event: dict[str, object] | str
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def payload(self) -> bytes:
        """The event as the format reads it."""
        return self.event.encode() if isinstance(self.event, str) else msgspec.json.encode(self.event)


class SanitySet:
    """The golden events of the file at `path`, JSON lines, frozen when this is made.

    Raises ConfigError, naming file and line, where it cannot be read, a line is no golden event, or has no bounds.
    """

    def __init__(self, path: str) -> None:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"deploy.sanity: {path!r} cannot be read: {error.strerror}") from error
        if len(data) > MOST_BYTES:
            raise ConfigError(f"deploy.sanity: {path!r} has {len(data)} bytes, expected at most {MOST_BYTES}")
        self._path = path
        lines = enumerate(data.splitlines(), 1)
        self._cases = [(number, self._golden(number, line)) for number, line in lines if line.strip()]
        if not self._cases:
            raise ConfigError(f"deploy.sanity: {path!r} holds no golden event")

    def __len__(self) -> int:
        return len(self._cases)

    def failures(self, model: StoredModel) -> list[str]:
        """What the model says that it must not, the first few of it in words; empty where it is sane."""
        found = [said for number, case in self._cases if (said := self._failure(number, case, model)) is not None]
        more = [f"and {len(found) - TOLD} more of {len(self)}"] if len(found) > TOLD else []
        return found[:TOLD] + more

    def _golden(self, number: int, line: bytes) -> Golden:
        try:
            golden = msgspec.json.decode(line, type=Golden)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"deploy.sanity: {self._path}, line {number}: {error}") from error
        if golden.at_least > golden.at_most or (golden.at_least, golden.at_most) == (-math.inf, math.inf):
            raise ConfigError(
                f"deploy.sanity: {self._path}, line {number}: at_least {golden.at_least}, at_most {golden.at_most}: "
                "expected bounds that something lies within, and something not"
            )
        return golden

    def _failure(self, number: int, case: Golden, model: StoredModel) -> str | None:
        try:
            decoded = model.format.decode([case.payload])
            if decoded.dead or len(decoded.examples) != 1:
                reason = decoded.dead[0].reason if decoded.dead else f"{len(decoded.examples)} events"
                return f"line {number}: cannot be read: {reason}"
            answer = model.learner.predict(decoded.examples[0])
        except (FormatError, LearnerError) as error:
            return f"line {number}: cannot be predicted: {error}"
        if not isinstance(answer, int | float):
            return f"line {number}: the prediction is {answer!r}, no number that bounds could hold for"
        if case.at_least <= answer <= case.at_most:
            return None
        return f"line {number}: predicted {answer:g}, expected {case.at_least:g} to {case.at_most:g}"
