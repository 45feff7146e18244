"""Answers between two micro-batches: predictions of the live model, appended events, labels joined to predictions."""

import io
from collections.abc import Sequence

import msgspec

from formats.example import Example, FormatError
from learners.learner import Answer, Contribution, Explains, LearnerError
from stream_app.dead_letters import printable
from stream_app.remembered import RememberedEvents
from stream_app.sources.source import Source
from stream_app.trainer import Trainer


class UnknownId(Exception):
    """A label for an id that was never predicted, or too long ago."""


class AlreadyLabelled(Exception):
    """A second label for an id."""


class EventTooLarge(Exception):
    """An event over events.max_bytes."""


class Prediction(msgspec.Struct, omit_defaults=True):
    """What `/predict` answers for one event."""

    id: str | None
    prediction: Answer
    model: str
    contributions: list[Contribution] | msgspec.UnsetType = msgspec.UNSET


class Serving:
    """Reads the trainer's learner on the event-loop thread, so never in the middle of an update."""

    def __init__(self, trainer: Trainer, source: Source, remembered: RememberedEvents, max_bytes: int) -> None:
        self._trainer = trainer
        self._source = source
        self._remembered = remembered
        self._max_bytes = max_bytes
        self._labelling: set[str] = set()
        self.predictions = 0
        self.labels = 0

    def predict(
        self, body: bytes, event_id: str | None = None, is_explained: bool = False, is_kept: bool = True
    ) -> list[Prediction]:
        """One prediction per event of the body; if `is_kept`, features are remembered by id where there is one.

        `event_id` names the event where its format has no id. Raises FormatError naming the field, LearnerError where
        this learner cannot explain.
        """
        payloads = self.split(body)
        decoded = self._decoded(payloads)
        if len(decoded) != len(payloads):
            raise FormatError("body: a list within a list; expected one event, or one list of events")
        learner, model = self._trainer.parts.learner, self._trainer.live_id
        answers = []
        for payload, example in zip(payloads, decoded, strict=True):
            example_id = example.id or event_id
            answer = Prediction(example_id, learner.predict(example), model)
            if is_explained:
                answer.contributions = self._explanation(example)
            if is_kept and example_id is not None:
                self._remembered.put(example_id, payload)
            answers.append(answer)
        self.predictions += len(answers)
        return answers

    def split(self, body: bytes) -> list[bytes]:
        """The events of a request body. Raises FormatError for an empty one, or one that cannot be cut."""
        if b"\n" not in body and not body.startswith((b"[", b" ")) and body:
            return [body]
        payloads = list(self._trainer.parts.format.split(io.BytesIO(body)))
        if not payloads:
            raise FormatError("body: no event in it")
        return payloads

    async def append(self, payloads: Sequence[bytes]) -> dict[int, range]:
        """Check that every event could be learnt, then append them all durably. Raises FormatError naming the event."""
        largest = max(map(len, payloads))
        if largest > self._max_bytes:
            raise EventTooLarge(f"event of {largest} bytes; at most {self._max_bytes} (events.max_bytes) are taken")
        self._decoded(payloads)
        return await self._source.append(payloads)

    async def label(self, event_id: str, label: object) -> dict[int, range]:
        """Append the event that was predicted under this id, completed by its label.

        Raises UnknownId, AlreadyLabelled, or FormatError for an impossible label.
        """
        event = self._remembered.get(event_id)
        if event is None:
            raise UnknownId(f"id: no prediction of {event_id!r} is remembered")
        if event.is_labelled or event_id in self._labelling:
            raise AlreadyLabelled(f"id: {event_id!r} has its label already")
        self._labelling.add(event_id)
        try:
            given = await self.append([self._trainer.parts.format.labelled(event.payload, label)])
            self._remembered.labelled(event_id, event)
        finally:
            self._labelling.remove(event_id)
        self.labels += 1
        return given

    def _decoded(self, payloads: Sequence[bytes]) -> Sequence[Example]:
        decoded = self._trainer.parts.format.decode(payloads)
        if decoded.dead:
            dead, reason = decoded.dead[0], printable(decoded.dead[0].reason)
            raise FormatError(f"[{dead.index}].{reason}" if len(payloads) > 1 else reason)
        return decoded.examples

    def _explanation(self, example: Example) -> list[Contribution]:
        learner = self._trainer.parts.learner
        if not isinstance(learner, Explains):
            raise LearnerError(f"explain: {learner.traits.kind} learners cannot explain a prediction")
        return learner.explain(example)
