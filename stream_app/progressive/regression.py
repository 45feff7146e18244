"""Scores of a regression learner, and of what always says the mean or the last label. Knows no stream."""

import math
from typing import ClassVar, Final, NamedTuple

import msgspec
import numpy as np

from stream_app.progressive.curves import histogram
from stream_app.progressive.rows import LARGEST, Column, Matrix, Rows, exactly, number, ratio, to_bytes
from stream_app.progressive.scores import Figures, averages
from stream_app.progressive.totals import Sums, fade

_TERMS: Final = 9  # see _terms


class Moments(NamedTuple):
    """Weight, weighted mean, and weighted sum of squares around the mean."""

    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Column, weights: Column) -> "Moments":
        """The moments of n values, taken around the first of them."""
        weight = float(np.add.reduce(weights))
        if not weight > 0.0:
            return cls()
        shifted = values - values[0]
        mean = float(np.add.reduce(weights * shifted)) / weight
        return cls(weight, float(values[0]) + mean, float(np.add.reduce(weights * (shifted - mean) ** 2)))

    def merged(self, other: "Moments", decay: float = 1.0) -> "Moments":
        """Those of both together, the weight of `self` first multiplied by `decay` (Chan, Golub & LeVeque 1983)."""
        own = self.weight * decay
        weight = own + other.weight
        if not weight > 0.0:
            return self
        distance = other.mean - self.mean if own > 0.0 else other.mean
        share = other.weight / weight
        mean = self.mean + distance * share if own > 0.0 else other.mean
        squares = self.squares * decay + other.squares + distance * distance * own * share
        return Moments(weight, mean, squares)


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sums: bytes
    moments: bytes
    rows: int
    baselines: bytes


class RegressionScores:
    """What scikit-learn gives on the same predictions with `sample_weight`.

    Labels and predictions beyond 1e120 count as 1e120, so that their squares stay finite. The baselines predict before
    they see the label, 0.0 on the first row: `constant` the weighted mean so far, `no_change` the last label.
    Kept of each row: weight, loss, label, prediction, constant, last.
    """

    columns: ClassVar[int] = 6
    deciding: ClassVar[dict[str, str]] = {"constant": "rmse", "no_change": "rmse"}

    def __init__(self, powers: Column) -> None:
        self._powers = powers
        self._sums = Sums(_TERMS, powers)
        self._total = Moments()
        self._faded = Moments()
        self._rows = 0
        self._baselines: Column = np.zeros(4)  # weight, weighted sum of label - origin, origin, last label

    def fold(self, rows: Rows) -> Matrix:
        """Count n labelled rows in, shape (6, n) back."""
        count = len(rows.labels)
        if not count:
            return np.empty((self.columns, 0))
        kept = self._kept(rows)
        self._rows += count
        self._sums.add(_terms(kept))
        powers, decay = fade(self._powers, count)
        shifted = kept[2] - self._baselines[2]
        self._total = self._total.merged(Moments.of(shifted, kept[0]))
        self._faded = self._faded.merged(Moments.of(shifted, kept[0] * powers), decay)
        return kept

    def _kept(self, rows: Rows) -> Matrix:
        labels, predictions = (np.fmin(np.fmax(x, -LARGEST), LARGEST) for x in (rows.labels, rows.predictions))
        if not self._rows:
            self._baselines[2] = labels[0]  # sums around a label lose no digits where labels are far from 0
        weight, total, origin, last = self._baselines
        running = np.empty((2, len(labels) + 1))
        running[:, 0] = weight, total
        running[0, 1:] = rows.weights
        running[1, 1:] = rows.weights * (labels - origin)
        weights, totals = np.add.accumulate(running, axis=1)
        has_weight = weights > 0.0
        means = np.divide(totals, weights, out=np.zeros_like(totals), where=has_weight) + np.where(
            has_weight, origin, 0
        )
        self._baselines[:] = weights[-1], totals[-1], origin, labels[-1]
        before = np.concatenate(([last], labels[:-1]))
        return np.stack([rows.weights, rows.losses, labels, predictions, means[:-1], before])

    def total(self) -> Figures:
        """Figures over all rows so far."""
        return _figures(self._sums.total, self._total, self._rows)

    def fading(self) -> Figures:
        """Figures in which each row weighs `fading` times as much as the next one."""
        return _figures(self._sums.faded, self._faded, self._rows)

    def over(self, kept: Matrix) -> Figures:
        """Figures over some of the rows that `fold` gave back."""
        moments = Moments.of(kept[2], kept[0]) if kept.size else Moments()
        return _figures(np.add.reduce(_terms(kept), axis=1), moments, kept.shape[1])

    def curves(self) -> Figures:
        """Nothing: no distribution is kept of the whole stream."""
        return {}

    def curves_over(self, kept: Matrix) -> Figures:
        """Distributions of labels, predictions, and prediction less label."""
        weights, _, labels, predictions = kept[:4]
        return {
            "labels": histogram(labels, weights),
            "predictions": histogram(predictions, weights),
            "errors": histogram(predictions - labels, weights),
        }

    def state(self) -> bytes:
        """Everything counted, as bytes."""
        return msgspec.msgpack.encode(
            _State(
                sums=self._sums.state(),
                moments=to_bytes(np.array([*self._total, *self._faded])),
                rows=self._rows,
                baselines=to_bytes(self._baselines),
            )
        )

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        decoded = msgspec.msgpack.decode(state, type=_State)
        moments = exactly("moments", decoded.moments, 6).tolist()
        self._sums.restore(decoded.sums)
        self._total, self._faded = Moments(*moments[:3]), Moments(*moments[3:])
        self._rows = decoded.rows
        self._baselines = exactly("baselines", decoded.baselines, 4)


def _terms(kept: Matrix) -> Matrix:
    weights, losses, labels, *predictions = kept
    terms = np.empty((_TERMS, kept.shape[1]))
    terms[0], terms[1] = weights, losses
    for index, prediction in enumerate(predictions):
        errors = prediction - labels
        np.abs(errors, out=terms[2 + 2 * index])
        np.multiply(errors, errors, out=terms[3 + 2 * index])
    terms[8] = predictions[0] - labels
    terms[2:] *= weights
    return terms


def _figures(sums: Column, moments: Moments, rows: int) -> Figures:
    weight, loss, absolute, squared, *baselines, error = sums.tolist()
    return {
        **averages(weight, loss),
        "rmse": _root(ratio(squared, weight)),
        "mae": ratio(absolute, weight),
        "r2": _r2(squared, moments.squares) if rows > 1 and weight > 0.0 else None,
        "bias": ratio(error, weight),
        "baselines": {
            "constant": {"rmse": _root(ratio(baselines[1], weight)), "mae": ratio(baselines[0], weight)},
            "no_change": {"rmse": _root(ratio(baselines[3], weight)), "mae": ratio(baselines[2], weight)},
        },
    }


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


def _r2(squared: float, around_mean: float) -> float | None:
    if around_mean > 0.0:
        return number(1.0 - squared / around_mean)
    return 1.0 if squared == 0.0 else 0.0
