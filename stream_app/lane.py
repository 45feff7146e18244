"""Lanes: learners that take the same records side by side, each one example by example, and are compared by loss."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from checkpoints.checkpoint import Checkpoint
from formats.example import Example, labels_of, weights_of
from learners.learner import Answer, Column, Learner, Learnt
from stream_app import wiring
from stream_app.dead_letters import DeadLetterBox
from stream_app.progressive.confidence import losses_of
from stream_app.progressive.rows import Matrix
from stream_app.relearning import NoLetters, own_trainer
from stream_app.settings import Settings
from stream_app.sources.source import Position, Records
from stream_app.stored_model import as_learnt
from stream_app.trainer import Trainer


class Paired(NamedTuple):
    """What several lanes made of the same examples, shape (lanes, n) each, losses finite."""

    losses: Matrix
    decisions: Matrix
    """Binary tasks: 2 where it came true plus 1 where that was predicted, by `value.threshold`; else nan."""


class Lane:
    """A trainer of its own; `learn` gives the loss of each example, made before it was learnt, and what was decided."""

    def __init__(self, name: str, trainer: Trainer, settings: Settings) -> None:
        self.name = name
        self.trainer = trainer
        self._task = settings.model.task
        self._threshold = settings.value.threshold
        self._judged: list[Matrix] = []
        trainer.scorer = self._score

    def learn(self, records: Records) -> Matrix:
        """Learn them all; the weighted loss of each example of theirs, nan where there is none, and the decision.

        Shape (2, n); see Paired.
        """
        self._judged = []
        self.trainer.learn_whole(records)
        return np.concatenate(self._judged, axis=1) if self._judged else np.zeros((2, 0))

    def _score(self, examples: Sequence[Example], learnt: Learnt) -> None:
        learner = self.trainer.parts.learner
        labels = np.array([_number(label) for label in labels_of(examples)], np.float64)
        predictions = np.array(learnt.predictions, np.float64)
        probabilities, decisions = None, np.full(len(labels), np.nan)
        if self._task == "binary":
            probabilities = learner.probabilities(np.where(np.isnan(predictions), 0.0, predictions))
            decisions = 2.0 * (labels > 0.0) + (probabilities >= self._threshold)
        losses = losses_of(self._task, labels, predictions, probabilities, np.array(learnt.losses))
        self._judged.append(np.stack([losses * np.array(weights_of(examples), np.float64), decisions]))


class Frozen:
    """A learner that no longer learns: it predicts, and says so as if it had learnt."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self.traits = learner.traits

    @property
    def nan_predictions(self) -> int:
        """See Learner."""
        return self._learner.nan_predictions

    def learn(self, examples: Sequence[Example]) -> Learnt:
        """Only predicts, row by row; what is no single number counts as no prediction."""
        answers = [self._learner.predict(example) for example in examples]
        column = np.array([answer if isinstance(answer, int | float) else np.nan for answer in answers], np.float64)
        return Learnt(column, np.zeros(len(column)))

    def predict(self, example: Example) -> Answer:
        """See Learner."""
        return self._learner.predict(example)

    def probabilities(self, predictions: Column) -> Column:
        """See Learner."""
        return self._learner.probabilities(predictions)

    def state(self) -> bytes:
        """See Learner."""
        return self._learner.state()

    def restore(self, state: bytes) -> None:
        """See Learner."""
        self._learner.restore(state)


def paired(lanes: Sequence[Lane], records: Records) -> Paired | None:
    """Let all lanes learn the records; what they made of those examples of which each has a loss.

    None where one of them took an event for none: then they cannot be held against each other.
    """
    judged = [lane.learn(records) for lane in lanes]
    if len({one.shape for one in judged}) > 1:
        return None
    losses, decisions = np.stack(judged, axis=1)
    is_known = ~np.isnan(losses).any(axis=0)
    return Paired(losses[:, is_known], decisions[:, is_known])


def new_lane(name: str, settings: Settings, letters: DeadLetterBox | None = None) -> Lane:
    """A lane that begins with nothing; `letters` hears of what it cannot learn."""
    return Lane(name, own_trainer(settings, letters), settings)


def lane_of(name: str, settings: Settings, checkpoint: Checkpoint) -> Lane:
    """A lane that goes on learning from a checkpoint."""
    lane = new_lane(name, as_learnt(settings, checkpoint.manifest))
    lane.trainer.restore(checkpoint)
    return lane


def frozen_lane(
    name: str, settings: Settings, checkpoint: Checkpoint, position: Position, dedupe: bytes | None
) -> Lane:
    """A lane that only predicts, from a position on; `dedupe` is the state of what was seen before it."""
    settings = as_learnt(settings, checkpoint.manifest)
    model = wiring.build_stored(settings, checkpoint)
    trainer = wiring.build_trainer(settings, Frozen(model.learner), model.format, NoLetters())
    trainer.stand_at(position)
    if dedupe is not None:
        trainer.parts.dedupe.restore(dedupe)
    return Lane(name, trainer, settings)


def _number(label: object) -> float:
    """nan where there is no label; 0 for a label that is no number."""
    if label is None:
        return float("nan")
    return float(label) if isinstance(label, int | float) else 0.0
