"""Scores of a multiclass learner, and of what always says the majority or the last label. Knows no stream."""

from typing import ClassVar, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_app.progressive.class_report import (
    OTHER,
    accuracy,
    class_name,
    class_report,
    confusion_cells,
    weigh_by_class,
)
from stream_app.progressive.classes import LIMIT, Classes, leaders
from stream_app.progressive.rows import Column, Matrix, ProgressiveError, Rows, exactly, number, to_bytes
from stream_app.progressive.scores import Figures, Json, averages
from stream_app.progressive.totals import Sums, fade

_TERMS: Final = 5  # weight, loss, hit, hit of majority, hit of no change
CONFUSED: Final = 100
"""Classes with confusion cells of their own; a confusion with any later one is counted under "other"."""

_SIDE: Final = CONFUSED + 1


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sums: bytes
    classes: bytes
    by_class: bytes
    cells: bytes
    confusion: bytes
    leader: int
    last: float | None


class MulticlassScores:
    """What scikit-learn gives on the same predictions with `sample_weight` and `zero_division=0.0`.

    The first 1,000 classes of the stream are told apart, labels before predictions in each block of 1,024 rows; all
    later ones are one class "other" in the figures per class (a hit there is still a label met exactly), and
    `other_weight` says how much there is of it. Confusion cells are kept for the first 100. Over the window nothing is
    pooled. The baselines predict before they see the label and miss on the first row: `majority` the class of most
    weight (of equals the one that led before), `no_change` the last label.
    Kept of each row: weight, loss, label, prediction, majority, last.
    """

    columns: ClassVar[int] = 6
    deciding: ClassVar[dict[str, str]] = {"majority": "accuracy", "no_change": "accuracy"}

    def __init__(self, powers: Column) -> None:
        self._powers = powers
        self._sums = Sums(_TERMS, powers)
        self._classes = Classes()
        self._by_class: Matrix = np.zeros((3, LIMIT + 1))  # weight as label, as prediction, as both
        self._faded_by_class: Matrix = np.zeros((3, LIMIT + 1))
        self._confusion: Matrix = np.zeros((2, _SIDE * _SIDE))  # rows, weight
        self._leader = -1
        self._last = np.nan

    def fold(self, rows: Rows) -> Matrix:
        """Count n labelled rows in, shape (6, n) back."""
        count = len(rows.labels)
        if not count:
            return np.empty((self.columns, 0))
        found = self._classes.indices(np.concatenate([rows.labels, rows.predictions]))
        labels, predictions = found[:count], found[count:]
        kept = self._kept(rows, labels)
        self._sums.add(_terms(kept))
        hits = _with_hits(kept)
        powers, decay = fade(self._powers, count)
        self._by_class += weigh_by_class(labels, predictions, hits, LIMIT + 1)
        self._faded_by_class *= decay
        self._faded_by_class += weigh_by_class(labels, predictions, hits * powers, LIMIT + 1)
        cells = np.minimum(labels, CONFUSED) * _SIDE + np.minimum(predictions, CONFUSED)
        np.add.at(self._confusion[0], cells, 1.0)
        np.add.at(self._confusion[1], cells, rows.weights)
        return kept

    def _kept(self, rows: Rows, labels: NDArray[np.intp]) -> Matrix:
        leading = leaders(labels, rows.weights, self._by_class[0], self._leader)
        named = np.concatenate([self._classes.values, [np.nan]])  # index -1: nobody leads yet
        majority = named[leading[:-1]]
        last = np.concatenate(([self._last], rows.labels[:-1]))
        self._leader, self._last = int(leading[-1]), float(rows.labels[-1])
        return np.stack([rows.weights, rows.losses, rows.labels, rows.predictions, majority, last])

    def total(self) -> Figures:
        """Figures over all rows so far."""
        used = np.flatnonzero(self._confusion[0])
        names = self._names(CONFUSED)
        places = [(names[cell // _SIDE], names[cell % _SIDE]) for cell in used]
        confusion = confusion_cells(places, self._confusion[:, used])
        return _figures(self._sums.total, confusion, self._report(self._by_class))

    def fading(self) -> Figures:
        """Figures in which each row weighs `fading` times as much as the next one; no confusion cells."""
        return _figures(self._sums.faded, None, self._report(self._faded_by_class))

    def over(self, kept: Matrix) -> Figures:
        """Figures over some of the rows that `fold` gave back; no class is pooled."""
        values, found = np.unique(kept[2:4], return_inverse=True)
        names, (labels, predictions) = [class_name(value) for value in values], found.reshape(2, -1)
        report = class_report(names, weigh_by_class(labels, predictions, _with_hits(kept), len(names)))
        used, cells = np.unique(labels * len(names) + predictions, return_inverse=True)
        counted: Matrix = np.stack(
            [np.bincount(cells, minlength=len(used)), np.bincount(cells, kept[0], len(used))], dtype=np.float64
        )
        places = [(names[cell // len(names)], names[cell % len(names)]) for cell in used]
        report["other_weight"] = 0.0
        return _figures(np.add.reduce(_terms(kept), axis=1), confusion_cells(places, counted), report)

    def curves(self) -> Figures:
        """The confusion cells."""
        return {"confusion": self.total()["confusion"]}

    def curves_over(self, kept: Matrix) -> Figures:
        """The confusion cells of some of the rows that `fold` gave back."""
        return {"confusion": self.over(kept)["confusion"]}

    def _report(self, by_class: Matrix) -> Figures:
        has_other = bool(self._by_class[:2, LIMIT].any())
        known = [*range(len(self._classes.values)), *([LIMIT] if has_other else [])]
        names = self._names(LIMIT)
        report = class_report([names[index] for index in known], by_class[:, known])
        report["other_weight"] = number(by_class[0, LIMIT])
        return report

    def _names(self, first: int) -> list[Json]:
        """What indices 0..first stand for when only the first so many classes are told apart."""
        names = [class_name(value) for value in self._classes.values[:first]]
        return [*names, *[OTHER] * (first + 1 - len(names))]

    def state(self) -> bytes:
        """Everything counted, as bytes."""
        known = [*range(len(self._classes.values)), LIMIT]
        cells = np.flatnonzero(self._confusion[0])
        return msgspec.msgpack.encode(
            _State(
                sums=self._sums.state(),
                classes=self._classes.state(),
                by_class=to_bytes(np.concatenate([self._by_class[:, known], self._faded_by_class[:, known]])),
                cells=cells.astype("<u2").tobytes(),
                confusion=to_bytes(self._confusion[:, cells]),
                leader=self._leader,
                last=number(self._last),
            )
        )

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        decoded = msgspec.msgpack.decode(state, type=_State)
        self._sums.restore(decoded.sums)
        self._classes.restore(decoded.classes)
        classes = len(self._classes.values)
        known = [*range(classes), LIMIT]
        by_class = exactly("classes", decoded.by_class, 6 * len(known)).reshape(6, -1)
        self._by_class[:], self._faded_by_class[:] = 0.0, 0.0
        self._by_class[:, known], self._faded_by_class[:, known] = by_class[:3], by_class[3:]
        self._restore_confusion(decoded.cells, decoded.confusion)
        if not -1 <= decoded.leader < classes:
            raise ProgressiveError(f"progressive state: leader {decoded.leader} is none of {classes} classes")
        self._leader = decoded.leader
        self._last = np.nan if decoded.last is None else decoded.last

    def _restore_confusion(self, cells: bytes, confusion: bytes) -> None:
        if len(cells) % 2:
            raise ProgressiveError(f"progressive state: confusion: {len(cells)} bytes are no uint16 column")
        used = np.frombuffer(cells, dtype="<u2").astype(np.intp)
        if used.size and (used[-1] >= _SIDE * _SIDE or not np.all(np.diff(used) > 0)):
            raise ProgressiveError(f"progressive state: confusion: cells must rise and stay below {_SIDE * _SIDE}")
        self._confusion[:] = 0.0
        self._confusion[:, used] = exactly("confusion", confusion, 2 * used.size).reshape(2, -1)


def _terms(kept: Matrix) -> Matrix:
    weights, losses, labels, *predictions = kept
    terms = np.empty((_TERMS, kept.shape[1]))
    terms[0], terms[1] = weights, losses
    for index, prediction in enumerate(predictions):
        terms[2 + index] = weights * (prediction == labels)
    return terms


def _with_hits(kept: Matrix) -> Matrix:
    return np.stack([kept[0], kept[0] * (kept[2] == kept[3])])


def _figures(sums: Column, confusion: list[Json] | None, report: Figures) -> Figures:
    weight, loss, hit, majority, no_change = sums.tolist()
    figures: Figures = {**averages(weight, loss), **accuracy(hit, weight), **report}
    if confusion is not None:
        figures["confusion"] = confusion
    figures["baselines"] = {"majority": accuracy(majority, weight), "no_change": accuracy(no_change, weight)}
    return figures
