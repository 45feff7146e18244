"""What a checkpoint's model goes by, over the sample of what it learnt; and how that differs between two checkpoints.

Importance of a feature = |weight| x spread, where the spread is the standard deviation of its value over the sampled
examples, 0 where an example lacks it: the standard deviation of what it contributes. Of a raw field: the standard
deviation of what it contributes, interactions shared equally among their fields. Learns nothing, and knows no service.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from checkpoints.checkpoint import Checkpoint
from formats.example import Example
from learners.explanation import CONSTANT, Score, collisions
from learners.learner import Explains, LearnerError
from learners.vw_explanation import name_of
from stream_app import names as dictionary
from stream_app import wiring
from stream_app.sample import sampled
from stream_app.settings import Settings

MOST_TERMS = 100_000
"""Features and interactions that are looked at, at most: as many of the newest sampled examples as have so many."""

MOST_FEATURES = 10_000
"""Features that are told, the most important ones; the others are counted."""


class FeatureImportance(msgspec.Struct, frozen=True, gc=False):
    """How much one feature or interaction moves the raw score over the sample."""

    name: str
    importance: float
    weight: float
    spread: float


class FieldImportance(msgspec.Struct, frozen=True, gc=False):
    """How much all that one raw field gives rise to moves the raw score over the sample."""

    name: str
    importance: float


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """Of one checkpoint, most important first, without the constant."""

    model: str
    examples: int
    """Sampled ones that it was measured on."""
    fields: list[FieldImportance]
    features: list[FeatureImportance]
    collisions: int
    """Features in the sample that share their weight with another one in it: each is told with the weight of all."""
    left_out: int = 0
    """Features in the sample that are not told, as there are more important ones."""
    unseen: int = 0
    """Known names that no sampled example has: their importance is not known."""
    remarks: list[str] = []

    def top(self, count: int) -> "Importance":
        """The same with at most so many fields and features."""
        left_out = self.left_out + max(0, len(self.features) - count)
        return msgspec.structs.replace(
            self, fields=self.fields[:count], features=self.features[:count], left_out=left_out
        )


class Mover(msgspec.Struct, frozen=True):
    """A field or feature whose importance is not what it was."""

    name: str
    before: float
    after: float
    change: float


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """From one checkpoint to another. Correlations are Spearman's, over what either has; None of fewer than two."""

    before: str
    after: str
    rank_correlation: float | None
    """Of the fields."""
    feature_rank_correlation: float | None
    fields: list[Mover]
    """Biggest change first, in either direction."""
    features: list[Mover]

    def top(self, count: int) -> "Movement":
        """The same with at most so many movers of each kind."""
        return msgspec.structs.replace(self, fields=self.fields[:count], features=self.features[:count])


def importance(settings: Settings, checkpoint: Checkpoint, rest: Callable[[], object] = lambda: None) -> Importance:
    """Measured on the checkpoint's own sample, by its own model, loaded for this alone.

    `rest` is called between two examples: a thread beside a service sleeps there, as this is work for the interpreter.
    Raises LearnerError where such a model cannot be explained, and what building it raises.
    """
    learner = wiring.build_stored(settings, checkpoint).learner
    if not isinstance(learner, Explains):
        raise LearnerError(f"importance: {learner.traits.kind} learners cannot explain a prediction")
    reads = learner.traits.reads
    examples = list(sampled(checkpoint.blobs.get("sample", b""), reads))
    if not examples:
        learner.score(Example(text=b"|"))  # who cannot be explained at all says so
    spreads, remarks = _spreads(learner, examples, rest)
    known = dictionary.pairs(checkpoint.blobs.get("names", b"")) if reads == "text" else iter(())
    unseen = sum(name_of((name,)) not in spreads.features for name in known)
    features = spreads.of_features()
    return Importance(
        model=checkpoint.id,
        examples=spreads.examples,
        fields=spreads.of_fields(),
        features=features,
        collisions=spreads.collisions(),
        left_out=len(spreads.features.keys() - {CONSTANT}) - len(features),
        unseen=unseen,
        remarks=remarks,
    )


def _spreads(
    learner: Explains, examples: Sequence[Example], rest: Callable[[], object]
) -> tuple["_Spreads", list[str]]:
    """Over the newest of the examples, and what must be known about those that it is not over.

    Raises LearnerError where there are some, and none can be explained.
    """
    spreads, failed = _Spreads(), []
    for example in reversed(examples):
        if spreads.terms >= MOST_TERMS:
            break
        try:
            spreads.add(learner.score(example))
        except LearnerError as error:
            failed.append(error)
        rest()
    if failed and not spreads.examples:
        raise failed[0]
    remarks = [f"{len(failed)} sampled examples cannot be explained: {failed[0]}"] if failed else []
    if len(examples) > spreads.examples + len(failed):
        remarks.append(
            f"the newest {spreads.examples} sampled examples have {spreads.terms} features: no more are used"
        )
    if not examples:
        remarks.append("the checkpoint has no sample of what was learnt yet")
    return spreads, remarks


def movement(before: Importance, after: Importance) -> Movement:
    """What has changed; all movers, of which a caller shows the first."""
    fields = _paired(before.fields, after.fields)
    features = _paired(before.features, after.features)
    return Movement(
        before=before.model,
        after=after.model,
        rank_correlation=rank_correlation(fields),
        feature_rank_correlation=rank_correlation(features),
        fields=_movers(fields),
        features=_movers(features),
    )


def rank_correlation(pairs: Mapping[str, tuple[float, float]]) -> float | None:
    """Spearman's, ties sharing their mean rank; None where one side has no order.

    >>> rank_correlation({"a": (1.0, 10.0), "b": (2.0, 30.0), "c": (3.0, 20.0)})
    0.5
    """
    if len(pairs) < 2:
        return None
    one, other = (_ranks(np.array(column)) for column in zip(*pairs.values(), strict=True))
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale else None


class _Spread:
    """Mean and squared deviations (Welford) of what one thing is over the examples that have it."""

    __slots__ = ("count", "example", "mean", "now", "place", "squares", "weight")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.now = 0.0
        self.example = -1
        self.weight = 0.0
        self.place: Hashable = None

    def add(self, value: float, example: int) -> None:
        """One more part of its value in an example."""
        if example != self.example:
            self._close()
            self.example, self.now = example, 0.0
        self.now += value

    def deviation(self, examples: int) -> float:
        """The standard deviation over so many examples; it is 0 in those that lack it."""
        self._close()
        absent = examples - self.count
        squares = self.squares + self.mean**2 * self.count * absent / examples
        return math.sqrt(squares / examples)

    def _close(self) -> None:
        if self.example < 0:
            return
        self.count += 1
        step = self.now - self.mean
        self.mean += step / self.count
        self.squares += step * (self.now - self.mean)
        self.example = -1


class _Spreads:
    """Of every feature's value, and of every field's contribution."""

    def __init__(self) -> None:
        self.examples = 0
        self.terms = 0
        self.features: dict[str, _Spread] = {}
        self._fields: dict[str, _Spread] = {}

    def add(self, score: Score) -> None:
        """One more example."""
        features, fields, example = self.features, self._fields, self.examples
        for term in score.terms:
            spread = features.get(term.feature)
            if spread is None:
                spread = features[term.feature] = _Spread()
                spread.place, spread.weight = term.place, term.weight
            spread.add(term.value, example)
            share = term.weight * term.value / len(term.fields)
            for field in term.fields:
                of_field = fields.get(field)
                if of_field is None:
                    of_field = fields[field] = _Spread()
                of_field.add(share, example)
        self.examples += 1
        self.terms += len(score.terms)

    def of_features(self) -> list[FeatureImportance]:
        """Most important first, at most MOST_FEATURES."""
        names = [name for name in self.features if name != CONSTANT]
        found = [self.features[name] for name in names]
        deviations = [spread.deviation(self.examples) for spread in found]
        sizes = [abs(spread.weight) * deviation for spread, deviation in zip(found, deviations, strict=True)]
        return [
            FeatureImportance(names[at], sizes[at], found[at].weight, deviations[at]) for at in _largest_first(sizes)
        ]

    def of_fields(self) -> list[FieldImportance]:
        """Most important first, at most MOST_FEATURES."""
        names = [name for name in self._fields if name != CONSTANT]
        sizes = [self._fields[name].deviation(self.examples) for name in names]
        return [FieldImportance(names[at], sizes[at]) for at in _largest_first(sizes)]

    def collisions(self) -> int:
        """How many features share their weight with another one."""
        return collisions([(spread.place, name) for name, spread in self.features.items()])


def _largest_first(sizes: Sequence[float]) -> list[int]:
    """Places, by numpy: a sort of Python's would hold the interpreter for as long as it takes."""
    order: list[int] = np.argsort(-np.array(sizes), kind="stable")[:MOST_FEATURES].tolist()
    return order


def _paired(
    before: Iterable[FieldImportance | FeatureImportance], after: Iterable[FieldImportance | FeatureImportance]
) -> dict[str, tuple[float, float]]:
    old, new = ({one.name: one.importance for one in side} for side in (before, after))
    return {name: (old.get(name, 0.0), new.get(name, 0.0)) for name in dict.fromkeys([*old, *new])}


def _movers(pairs: Mapping[str, tuple[float, float]]) -> list[Mover]:
    movers = [Mover(name, one, other, other - one) for name, (one, other) in pairs.items() if one != other]
    return sorted(movers, key=lambda mover: (-abs(mover.change), mover.name))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks, with their mean taken off."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts).astype(np.float64)
    ranks = (ends - (counts - 1) / 2.0)[places]
    centred: NDArray[np.float64] = ranks - ranks.mean()
    return centred


def named(movers: Sequence[Mover], count: int) -> str:
    """The first of them in a sentence."""
    return ", ".join(f"{one.name} {one.before:.4g} -> {one.after:.4g}" for one in movers[:count]) or "nothing"
