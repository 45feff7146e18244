"""Answers between two micro-batches: predictions of the live model, appended events, labels joined to predictions."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from checkpoints.tags import LIVE
from formats.example import Example, FormatError
from formats.format import Format
from learners.explanation import Contribution, Explanation, FieldContribution, Reasons, explained
from learners.learner import Answer, Explains, Learner, LearnerError
from stream_app.dead_letters import printable
from stream_app.deployments import Served
from stream_app.funnel import Funnel
from stream_app.label_join import JsonLabel, LateLabel
from stream_app.logged import Answered
from stream_app.past_prediction import PastPrediction, latest, past_prediction
from stream_app.prediction_log import PredictionLog
from stream_app.settings import Settings
from stream_app.sources.source import Source
from stream_app.stored_model import StoredModel
from stream_app.trainer import Trainer

FLUSH_S = 0.5
"""Predictions of events without an id are written together, at most so much later."""


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
    tag: str | msgspec.UnsetType = msgspec.UNSET
    contributions: list[Contribution] | msgspec.UnsetType = msgspec.UNSET
    fields: list[FieldContribution] | msgspec.UnsetType = msgspec.UNSET
    reasons: Reasons | msgspec.UnsetType = msgspec.UNSET
    raw: float | msgspec.UnsetType = msgspec.UNSET
    collisions: int | msgspec.UnsetType = msgspec.UNSET

    def explain(self, found: Explanation) -> None:
        """Add why it is what it is."""
        self.contributions, self.fields, self.reasons = found.contributions, found.fields, found.reasons
        self.raw, self.collisions = found.raw, found.collisions


class Asked(msgspec.Struct, frozen=True):
    """What a request for predictions says beside its body.

    `event_id` names the event where its format has no id; `unit` is what stays with its model where a tag has several.
    """

    event_id: str | None = None
    unit: str | None = None
    tag: str | None = None
    is_explained: bool = False
    is_kept: bool = True
    is_tried: bool = False
    """Whether somebody only tries: it is not counted, and shadows do not hear of it."""


class LiveModel(NamedTuple):
    """The model that is being learnt, as it is at this moment."""

    id: str
    learner: Learner
    format: Format


class Serving:
    """Reads the trainer's learner on the event-loop thread, so never in the middle of an update."""

    def __init__(
        self,
        trainer: Trainer,
        source: Source,
        log: PredictionLog,
        settings: Settings,
        model_id: Callable[[], str],
        label_topic: Source | None = None,
    ) -> None:
        """Answers are signed with `model_id`; labels go to `label_topic`, where there is one."""
        self._model_id = model_id
        self._trainer = trainer
        self._source = source
        self._log = log
        self._max_bytes = settings.events.max_bytes
        self._names_all = settings.predictions.without_id
        self.funnel = Funnel(log)
        self._label_topic = label_topic
        self._labelling: set[str] = set()
        self._is_flush_due = False
        self.offer: Callable[[str | None, Sequence[bytes], Sequence[Prediction]], None] | None = None
        """Who hears of every request and its answers, beside the client; must return at once, and raise nothing."""
        self.hook: Callable[[Sequence[bytes], Sequence[Prediction]], None] | None = None
        """The user's, which hears of every event and its answer; raises nothing."""
        self.predictions = 0
        self.predictions_by: Counter[tuple[str, str]] = Counter()
        """The same by who answered (`live`, `stored` or `tag`), and by tag."""
        self.labels = 0
        self.unexplained = unexplained(trainer.parts.learner)
        """Why predictions of this learner cannot be explained; None where they can."""

    def predict(self, body: bytes, asked: Asked) -> list[Prediction]:
        """The live model's answers, one per event of the body.

        Raises FormatError naming the field, LearnerError where this learner cannot explain.
        """
        payloads = self.split(body)
        return self._offered(asked, payloads, self._answers(self._live(), payloads, asked))

    def predict_by(self, model: StoredModel, body: bytes, asked: Asked) -> list[Prediction]:
        """The same by a stored model, which reads events as it was taught to."""
        payloads = self.split(body)
        return self._counted("stored", asked, payloads, self._answers(model, payloads, asked))

    def predict_for(self, served: Served, body: bytes, asked: Asked) -> list[Prediction]:
        """The same by the model that a tag has for each event's unit: by default its id."""
        payloads = self.split(body)
        target = served.deployment.target
        if not target.candidates:
            answers = self._answers(self._of(served, target.primary), payloads, asked)
            return self._offered(asked, payloads, answers)
        examples = one_each(self._of(served, target.primary).format, payloads)
        units = [asked.unit or asked.event_id or example.id for example in examples]
        models = [self._of(served, target.model_for(served.tag, unit)) for unit in units]
        answers = [self._answered(model, [payload], asked)[0] for model, payload in zip(models, payloads, strict=True)]
        for model, payload, answer in zip(models, payloads, answers, strict=True):
            self._keep(model, [payload], [answer], asked)
        return self._offered(asked, payloads, answers)

    def split(self, body: bytes) -> list[bytes]:
        """The events of a request body. Raises FormatError where it cannot be cut, EventTooLarge."""
        payloads = [body]
        if b"\n" in body or body.startswith((b"[", b" ", b"\t")) or not body:
            payloads = list(self._trainer.parts.format.split(io.BytesIO(body)))
        if not payloads:
            raise FormatError("body: no event in it")
        self._check_sizes(payloads)
        return payloads

    async def append(self, payloads: Sequence[bytes]) -> dict[int, range]:
        """Check that every event, as `split` gives them, could be learnt, then append them all durably.

        Raises FormatError naming the event.
        """
        decoded(self._trainer.parts.format, payloads)
        return await self._source.append(payloads)

    def _check_sizes(self, payloads: Sequence[bytes]) -> None:
        largest = max(map(len, payloads))
        if largest > self._max_bytes:
            raise EventTooLarge(f"event of {largest} bytes; at most {self._max_bytes} (events.max_bytes) are taken")

    async def label(self, event_id: str, label: JsonLabel) -> dict[int, range]:
        """Append the event that was predicted under this id, completed by its label.

        Raises UnknownId, AlreadyLabelled, or FormatError for an impossible label. With a topic of labels, the label is
        appended to it as it is, and joined by whoever holds its partition: what is wrong with it shows there.
        """
        if self._label_topic is not None:
            given = await self._label_topic.append(
                [msgspec.json.encode(LateLabel(event_id, label))], [event_id.encode()]
            )
            self.labels += 1
            return given
        logged = self._log.get(event_id)
        if logged is None:
            raise self._unknown(event_id)
        if logged.is_labelled or event_id in self._labelling:
            self._log.count("duplicate")
            raise AlreadyLabelled(f"id: {event_id!r} has its label already")
        self._labelling.add(event_id)
        try:
            completed = [self._trainer.parts.format.labelled(logged.payload, label)]
            self._check_sizes(completed)
            given = await self.append(completed)
            self._log.labelled(logged, label)
        finally:
            self._labelling.remove(event_id)
        self.labels += 1
        self.funnel.delays.add(time.time() - logged.seen_at)
        return given

    def past(self, event_id: str) -> PastPrediction | None:
        """What was predicted under this id, as long as it is kept."""
        return past_prediction(self._log, event_id)

    def latest(self, limit: int) -> Iterator[PastPrediction]:
        """The newest predictions that are kept, newest first."""
        return latest(self._log, limit)

    def _unknown(self, event_id: str) -> UnknownId:
        if self._log.is_late(event_id):
            self._log.count("late")
            return UnknownId(f"id: {event_id!r} was predicted too long ago (predictions.keep_s)")
        self._log.count("orphan")
        return UnknownId(f"id: no prediction of {event_id!r} is kept")

    def _live(self) -> LiveModel:
        return LiveModel(self._model_id(), self._trainer.parts.learner, self._trainer.parts.format)

    def _of(self, served: Served, model_id: str) -> StoredModel | LiveModel:
        return served.models[model_id] if model_id != LIVE else self._live()

    def _answers(self, model: StoredModel | LiveModel, payloads: Sequence[bytes], asked: Asked) -> list[Prediction]:
        answers = self._answered(model, payloads, asked)
        self._keep(model, payloads, answers, asked)
        return answers

    def _answered(self, model: StoredModel | LiveModel, payloads: Sequence[bytes], asked: Asked) -> list[Prediction]:
        examples = one_each(model.format, payloads)
        learner, answers = model.learner, []
        for example in examples:
            answer = Prediction(example.id or asked.event_id, learner.predict(example), model.id)
            if asked.tag is not None:
                answer.tag = asked.tag
            if asked.is_explained:
                answer.explain(explanation(learner, example))
            answers.append(answer)
        return answers

    def _keep(
        self, model: StoredModel | LiveModel, payloads: Sequence[bytes], answers: Sequence[Prediction], asked: Asked
    ) -> None:
        """What may be kept is; in the log, what has no id is given one."""
        if not asked.is_kept:
            return
        since = self._trainer.parent if isinstance(model, LiveModel) else None
        for payload, answer in zip(payloads, answers, strict=True):
            answered = Answered(answer.prediction, model.id, since, asked.tag)
            if answer.id is not None:
                self._log.put(answer.id, payload, answered)
            elif self._names_all:
                self._log.put(self._log.new_id(), payload, answered, is_unnamed=True)
                self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._log.flush()

    def _offered(self, asked: Asked, payloads: Sequence[bytes], answers: list[Prediction]) -> list[Prediction]:
        if self.offer is not None and not asked.is_tried:
            self.offer(asked.tag, payloads, answers)
        return self._counted("live" if asked.tag is None else "tag", asked, payloads, answers)

    def _counted(
        self, target: str, asked: Asked, payloads: Sequence[bytes], answers: list[Prediction]
    ) -> list[Prediction]:
        if asked.is_tried:
            return answers
        self.predictions += len(answers)
        self.predictions_by[target, asked.tag or ""] += len(answers)
        if self.hook is not None:
            self.hook(payloads, answers)
        return answers


def unexplained(learner: Learner) -> str | None:
    """Why predictions of this learner cannot be explained; None where they can."""
    if not isinstance(learner, Explains):
        return f"explain: {learner.traits.kind} learners cannot explain a prediction"
    return learner.unexplained()


def explanation(learner: Learner, example: Example) -> Explanation:
    """What each feature and field contributed. Raises LearnerError where this learner cannot say."""
    if not isinstance(learner, Explains):
        raise LearnerError(str(unexplained(learner)))
    return explained(learner.score(example))


def one_each(format_: Format, payloads: Sequence[bytes]) -> Sequence[Example]:
    """The example of each payload. Raises FormatError naming the first one that is none, or many."""
    examples = decoded(format_, payloads)
    if len(examples) != len(payloads):
        raise FormatError("body: a list within a list; expected one event, or one list of events")
    return examples


def decoded(format_: Format, payloads: Sequence[bytes]) -> Sequence[Example]:
    """The examples of payloads. Raises FormatError naming the first one that is none."""
    found = format_.decode(payloads)
    if found.dead:
        dead, reason = found.dead[0], printable(found.dead[0].reason)
        raise FormatError(f"[{dead.index}].{reason}" if len(payloads) > 1 else reason)
    return found.examples
