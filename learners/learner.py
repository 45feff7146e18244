"""The Learner seam: what learns. Knows examples; knows no stream, no checkpoint, no wire format."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from formats.example import Example, LabelKind
from formats.vw_text import Reads
from learners.explanation import Score

Column = NDArray[np.float64]
Answer = float | list[float] | list[list[float]] | list[list[list[float]]]
"""A prediction as served: one number (score, class), or one per action or class; where actions are numbers
[from, to, density] of each stretch; for slots one list each of [action, probability]."""


class LearnerError(ValueError):
    """Arguments that no learner can be built from, or a state that does not fit them."""


class Rejected(msgspec.Struct, frozen=True):
    """An example that the learner refused: its index in the batch, and why. It changed nothing that later rows see."""

    index: int
    reason: str


class Learnt(msgspec.Struct, frozen=True):
    """What `learn` gives back, one row per example, both float64 of shape (n,).

    `predictions` were made before the update with the same row. `losses` are the learner's own, already multiplied
    by the example's weight, 0.0 where there is no label. Rows of `rejected` examples are NaN in both.
    """

    predictions: Column
    losses: Column
    rejected: Sequence[Rejected] = ()


class Learner(Protocol):
    """Learns examples one after the other, in order: a batch is for speed only, never a mini-batch gradient.

    One writer: only the trainer calls `learn` and `restore`, on the event-loop thread, never while `predict` runs.
    Equal sequences of examples give equal `state()` bytes, however they were cut into batches, and whatever the order
    of the feature dicts. Every prediction is finite.
    """

    traits: "Traits"

    @property
    def nan_predictions(self) -> int:
        """How many predictions were not finite, and so read 0: a sign that the learner has diverged."""
        ...

    def learn(self, examples: Sequence[Example]) -> Learnt:
        """Predict, then update, row by row. An unlabelled example is predicted and counted, not learnt."""
        ...

    def predict(self, example: Example) -> Answer:
        """Predict without any trace: the state afterwards is the state before, byte for byte. The label is not read."""
        ...

    def probabilities(self, predictions: Column) -> Column:
        """Probability of the positive class for each prediction of a binary learner, shape (n,), within [0, 1]."""
        ...

    def state(self) -> bytes:
        """Everything learnt, as bytes that `restore` takes on a learner built with the same arguments."""
        ...

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from. Raises LearnerError; the bytes must have been verified by the caller."""
        ...


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a learner is, as far as others must know it to feed it and to describe it."""

    kind: str
    arguments: str
    exact_resume: bool
    """Whether restore + the rest of the stream gives the bytes of never having stopped."""
    reads: Reads
    label_kind: LabelKind
    classes: int = 0
    """Highest class of a `class` learner; 0 where unbounded or not applicable."""
    is_signed: bool = False
    """Whether a binary learner wants its labels as -1 and 1 rather than 0 and 1."""
    is_multiline: bool = False
    """Whether an example is a group of lines, one per action."""


@runtime_checkable
class Explains(Protocol):
    """A learner that can say what each feature contributed to a prediction."""

    def unexplained(self) -> str | None:
        """Why no prediction of a learner of this kind can be explained; None where they can."""
        ...

    def score(self, example: Example) -> Score:
        """The raw score of an example, and everything that it is the sum of, interactions included.

        Changes nothing; the label is not read. Raises LearnerError where this learner's score is no such sum.
        """
        ...


Name = tuple[bytes, bytes]
"""Namespace and name of a feature, as they stand in the VW text."""


class Weight(msgspec.Struct, frozen=True):
    """One weight that is not zero, under all names that are known to fall on it."""

    names: list[str]
    index: int | None
    """None for learners that know names alone."""
    weight: float
    printed: str
    """The weight, and what stands beside it, as the learner's own tool prints it."""


class Weights(msgspec.Struct, frozen=True):
    """All weights that are not zero, in the learner's own order; and what must be known about their names."""

    weights: list[Weight]
    remarks: list[str]


@runtime_checkable
class HasWeights(Protocol):
    """A learner whose weights can be told by name."""

    def weights(self, names: Iterable[Name], examples: Iterable[Example]) -> Weights:
        """Every weight that is not zero, named from a dictionary of `names` and the features of `examples`.

        Learns nothing. Raises LearnerError where this learner has no weights, or no names can be told.
        """
        ...


class Audited(msgspec.Struct, frozen=True):
    """One feature of an example: where it is hashed to, its value and weight, and how the learner's tool prints it."""

    name: str
    index: int
    value: float
    weight: float
    printed: str


class Audit(msgspec.Struct, frozen=True):
    """What a prediction is made of, largest contribution first. `prediction` is the raw score."""

    prediction: float
    features: list[Audited]


@runtime_checkable
class Audits(Protocol):
    """A learner that can list every feature of a prediction, interactions included."""

    def audit(self, examples: Iterable[Example]) -> Iterator[Audit]:
        """One for each example. Learns nothing. Raises LearnerError for learners without a single scalar score."""
        ...
