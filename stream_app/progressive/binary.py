"""Scores of a binary learner, and of what always says the majority, the last label or the mean. Knows no stream."""

from typing import ClassVar, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_app.progressive.calibration import CELLS, calibration, cells_of, decisions, faded_decisions, weigh
from stream_app.progressive.curves import Groups, curves_of
from stream_app.progressive.ranking import Ranking, RankingState, exact_area
from stream_app.progressive.rows import Column, Matrix, Rows, exactly, ratio, to_bytes
from stream_app.progressive.scores import Figures, averages
from stream_app.progressive.totals import Sums, fade

_EPS: Final = float(np.finfo(np.float64).eps)
_TERMS: Final = 8  # see _Judged.terms
_ACTUAL: Final = np.uint8(1)
_MAJORITY: Final = np.uint8(2)
_LAST: Final = np.uint8(4)

Flags = NDArray[np.bool_]


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sums: bytes
    cells: bytes
    faded_cells: bytes
    baselines: bytes
    ranking: RankingState


class BinaryScores:
    """What scikit-learn gives on the same probabilities with `sample_weight`; a label above 0 is positive.

    Probabilities are clipped to [0, 1], and for log loss to [eps, 1 - eps] of float64; p >= 0.5 predicts positive.
    The baselines predict before they see the label: `majority` says positive once positives weigh more, `no_change`
    repeats the last label (negative on the first row), `constant` is the mean so far with half a row of each kind
    before the first (Krichevsky & Trofimov 1981), so that it is never infinitely wrong.
    Kept of each row: weight, loss, probability, constant, and three bits: actual, majority, last.
    """

    columns: ClassVar[int] = 5
    deciding: ClassVar[dict[str, str]] = {"majority": "accuracy", "no_change": "accuracy", "constant": "log_loss"}

    def __init__(self, powers: Column) -> None:
        self._powers = powers
        self._sums = Sums(_TERMS, powers)
        self._cells: Matrix = np.zeros((3, CELLS))
        self._faded_cells: Column = np.zeros(CELLS)
        self._baselines: Column = np.zeros(3)  # weight of negatives, weight of positives, whether the last was positive
        self._ranking = Ranking()

    def fold(self, rows: Rows) -> Matrix:
        """Count n labelled rows in, shape (5, n) back."""
        count = len(rows.labels)
        if not count:
            return np.empty((self.columns, 0))
        judged = self._judged(rows)
        weights, _, probabilities, is_positive = judged[:4]
        powers, decay = fade(self._powers, count)
        self._sums.add(judged.terms())
        cells = cells_of(is_positive, probabilities)
        self._cells += weigh(cells, probabilities, weights)
        self._faded_cells *= decay
        self._faded_cells += np.bincount(cells, weights * powers, CELLS)
        self._ranking.add(is_positive, probabilities, weights)
        return judged.packed()

    def _judged(self, rows: Rows) -> "_Judged":
        is_positive = rows.labels > 0.0
        sums = np.empty((2, len(rows.labels) + 1))
        sums[:, 0] = self._baselines[:2]
        np.multiply(rows.weights, is_positive, out=sums[1, 1:])
        np.subtract(rows.weights, sums[1, 1:], out=sums[0, 1:])
        negative, positive = np.add.accumulate(sums, axis=1)
        last = np.empty_like(is_positive)
        last[0], last[1:] = self._baselines[2] > 0.0, is_positive[:-1]
        self._baselines[:] = negative[-1], positive[-1], is_positive[-1]
        negative, positive = negative[:-1], positive[:-1]
        return _Judged(
            weights=rows.weights,
            losses=rows.losses,
            probabilities=np.fmin(np.fmax(rows.probabilities, 0.0), 1.0),
            is_positive=is_positive,
            constant=(positive + 0.5) / (positive + negative + 1.0),
            majority=positive > negative,
            last=last,
        )

    def total(self) -> Figures:
        """Figures over all rows so far; ROC AUC from the histogram, `roc_auc_error` is its bound."""
        area, error = self._ranking.area()
        ranking: Figures = {"roc_auc": area, "roc_auc_error": error}
        return _figures(self._sums.total) | decisions(self._cells) | ranking | {"calibration": calibration(self._cells)}

    def fading(self) -> Figures:
        """Figures in which each row weighs `fading` times as much as the next one; no ROC AUC, no calibration."""
        return _figures(self._sums.faded) | faded_decisions(self._faded_cells)

    def over(self, kept: Matrix) -> Figures:
        """Figures over some of the rows that `fold` gave back; ROC AUC is exact."""
        judged = _Judged.unpacked(kept)
        weights, _, probabilities, is_positive = judged[:4]
        cells = judged.cells()
        area = exact_area(is_positive, probabilities, weights)
        ranking: Figures = {"roc_auc": area, "roc_auc_error": None if area is None else 0.0}
        figures = _figures(np.add.reduce(judged.terms(), axis=1))
        return figures | decisions(cells) | ranking | {"calibration": calibration(cells)}

    def curves(self) -> Figures:
        """Scores, ROC, precision and recall from the histogram, and the calibration."""
        return curves_of(self._ranking.groups()) | {"calibration": calibration(self._cells)}

    def curves_over(self, kept: Matrix) -> Figures:
        """The same of some of the rows that `fold` gave back, exact."""
        judged = _Judged.unpacked(kept)
        groups = Groups.of(judged.is_positive, judged.probabilities, judged.weights)
        return curves_of(groups) | {"calibration": calibration(judged.cells())}

    def state(self) -> bytes:
        """Everything counted, as bytes."""
        return msgspec.msgpack.encode(
            _State(
                sums=self._sums.state(),
                cells=to_bytes(self._cells),
                faded_cells=to_bytes(self._faded_cells),
                baselines=to_bytes(self._baselines),
                ranking=self._ranking.state(),
            )
        )

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        decoded = msgspec.msgpack.decode(state, type=_State)
        self._sums.restore(decoded.sums)
        self._cells = exactly("cells", decoded.cells, 3 * CELLS).reshape(3, CELLS)
        self._faded_cells = exactly("faded cells", decoded.faded_cells, CELLS)
        self._baselines = exactly("baselines", decoded.baselines, 3)
        self._ranking.restore(decoded.ranking)


class _Judged(NamedTuple):
    """Labelled rows, each with what the baselines said before it."""

    weights: Column
    losses: Column
    probabilities: Column
    is_positive: Flags
    constant: Column
    majority: Flags
    last: Flags

    def terms(self) -> Matrix:
        """What the figures are weighted means of, shape (8, n)."""
        terms = np.empty((_TERMS, len(self.weights)))
        of_label = np.empty((2, len(self.weights)))
        terms[0], terms[1] = self.weights, self.losses
        # p where positive, 1 - p where negative: |p - is_negative|, both exact
        is_negative = ~self.is_positive
        np.abs(np.subtract(self.probabilities, is_negative, out=of_label[0]), out=of_label[0])
        np.abs(np.subtract(self.constant, is_negative, out=of_label[1]), out=of_label[1])
        np.square(np.subtract(1.0, of_label[0], out=terms[2]), out=terms[2])
        np.equal(self.majority, self.is_positive, out=terms[3])
        np.equal(self.last, self.is_positive, out=terms[4])
        np.equal(self.constant >= 0.5, self.is_positive, out=terms[5])
        np.minimum(np.maximum(of_label, _EPS, out=of_label), 1.0 - _EPS, out=of_label)
        np.negative(np.log(of_label, out=of_label), out=terms[6:])
        terms[2:] *= self.weights
        return terms

    def cells(self) -> Matrix:
        """Counted by predicted probability and label; see `weigh`."""
        return weigh(cells_of(self.is_positive, self.probabilities), self.probabilities, self.weights)

    def packed(self) -> Matrix:
        """The rows as a window keeps them, shape (5, n)."""
        packed = np.empty((5, len(self.weights)))
        packed[0], packed[1], packed[2], packed[3] = self.weights, self.losses, self.probabilities, self.constant
        packed[4] = _ACTUAL * self.is_positive + _MAJORITY * self.majority + _LAST * self.last
        return packed

    @classmethod
    def unpacked(cls, packed: Matrix) -> "_Judged":
        """The rows of `packed`."""
        weights, losses, probabilities, constant, flags = packed
        bits = flags.astype(np.uint8)
        is_positive, majority, last = (bits & bit == bit for bit in (_ACTUAL, _MAJORITY, _LAST))
        return cls(weights, losses, probabilities, is_positive, constant, majority, last)


def _figures(sums: Column) -> Figures:
    weight, loss, brier, majority, no_change, constant, log_loss, constant_log_loss = sums.tolist()
    return {
        **averages(weight, loss),
        "log_loss": ratio(log_loss, weight),
        "brier": ratio(brier, weight),
        "baselines": {
            "majority": {"accuracy": ratio(majority, weight)},
            "no_change": {"accuracy": ratio(no_change, weight)},
            "constant": {"accuracy": ratio(constant, weight), "log_loss": ratio(constant_log_loss, weight)},
        },
    }
