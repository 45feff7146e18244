"""Sums over the whole stream, added up row by row as VW does. Knows no task."""

from typing import Final

import msgspec
import numpy as np

from stream_app.progressive.rows import BLOCK, Column, Matrix, Rows, exactly, to_bytes

LOSS: Final = 0
LABELLED: Final = 1
UNLABELLED: Final = 2
LABEL_SUM: Final = 3


class TotalsState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `Totals` is restored from."""

    examples: int
    labelled: int
    sums: bytes


class Totals:
    """Counts and strictly sequential float64 sums: loss, labelled weight, unlabelled weight, weight times label.

    Sequential because they are compared with VW's own to the last digit, and VW adds one example at a time.
    """

    def __init__(self) -> None:
        self.examples = 0
        self.labelled = 0
        self.sums: Column = np.zeros(4)
        self._which = np.tile(np.arange(4), BLOCK + 1)

    def running(self, rows: Rows) -> Matrix:
        """The sums before the first of n rows and after each of them, shape (4, n + 1)."""
        return np.add.accumulate(self._terms(rows), axis=1)

    def fold(self, rows: Rows) -> None:
        """Count in at most a block of rows."""
        by_row = self._terms(rows).T.ravel()
        # bincount adds strictly in the order of its input; cumsum does too, in twice the time
        self.sums = np.bincount(self._which[: by_row.size], by_row).astype(np.float64, copy=False)
        self.examples += len(rows.labels)
        self.labelled += len(rows.labels) - int(np.count_nonzero(np.isnan(rows.labels)))

    def _terms(self, rows: Rows) -> Matrix:
        terms = np.empty((len(rows.labels) + 1, 4)).T  # in memory the terms of one row stand side by side
        unlabelled = np.isnan(rows.labels)
        terms[:, 0] = self.sums
        terms[LOSS, 1:] = rows.losses
        terms[LABELLED, 1:] = rows.weights
        terms[UNLABELLED, 1:] = 0.0
        np.multiply(rows.labels, rows.weights, out=terms[LABEL_SUM, 1:])
        if unlabelled.any():
            terms[UNLABELLED, 1:][unlabelled] = rows.weights[unlabelled]
            for sum_of in (LABELLED, LABEL_SUM):
                terms[sum_of, 1:][unlabelled] = 0.0
        return terms

    def state(self) -> TotalsState:
        """Everything counted, as a value."""
        return TotalsState(examples=self.examples, labelled=self.labelled, sums=to_bytes(self.sums))

    def restore(self, state: TotalsState) -> None:
        """Become what `state` was taken from."""
        self.examples, self.labelled = state.examples, state.labelled
        self.sums = exactly("totals", state.sums, 4)


class Sums:
    """Weighted sums of several terms per labelled row: over the whole stream, and fading.

    After n labelled rows the fading sum of a term x is the sum over i of fading**(n - 1 - i) * x[i].
    """

    def __init__(self, terms: int, powers: Column) -> None:
        self.total: Column = np.zeros(terms)
        self.faded: Column = np.zeros(terms)
        self._powers = powers

    def add(self, terms: Matrix) -> None:
        """Add n rows, shape (terms, n)."""
        powers, decay = fade(self._powers, terms.shape[1])
        self.total += np.add.reduce(terms, axis=1)
        self.faded *= decay
        self.faded += np.einsum("ij,j->i", terms, powers)

    def state(self) -> bytes:
        """Both sums of each term."""
        return to_bytes(np.concatenate([self.total, self.faded]))

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        self.total, self.faded = np.split(exactly("sums", state, 2 * len(self.total)), 2)


def powers_of(fading: float, count: int) -> Column:
    """fading**count, ..., fading**1, fading**0: shape (count + 1,)."""
    return np.power(fading, np.arange(count, -1, -1, dtype=np.float64))


def fade(powers: Column, rows: int) -> tuple[Column, float]:
    """The weight of each of the last `rows` rows, and what everything before them is multiplied by."""
    start = len(powers) - rows
    return powers[start:], float(powers[start - 1])


def sequential_sum(start: float, terms: Column) -> float:
    """`start + terms[0] + terms[1] + ...` in this order."""
    return float(np.add.accumulate(np.concatenate(([start], terms)))[-1])
