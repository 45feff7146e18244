"""Which classes a stream has had, in order of appearance, and which one leads. Knows no score."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_app.progressive.rows import Column, ProgressiveError, from_bytes, to_bytes

LIMIT: Final = 1000
"""Distinct classes that are told apart; every later one counts as the one of this index, "other"."""


class Classes:
    """Class numbers to indices 0, 1, ... by first appearance, at most `LIMIT` of them."""

    def __init__(self) -> None:
        self.values: Column = np.zeros(0)
        self._order: NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    def indices(self, values: Column) -> NDArray[np.intp]:
        """The index of each value, new ones added while there is room, `LIMIT` for all others."""
        found = self._known(values)
        is_new = (found == LIMIT) & ~np.isnan(values)
        if len(self.values) < LIMIT and is_new.any():
            new, first = np.unique(values[is_new], return_index=True)
            in_order = new[np.argsort(first)][: LIMIT - len(self.values)]
            self._set(np.concatenate([self.values, in_order]))
            found = self._known(values)
        return found

    def _known(self, values: Column) -> NDArray[np.intp]:
        if not len(self.values):
            return np.full(values.shape, LIMIT)
        place = np.minimum(np.searchsorted(self.values, values, sorter=self._order), len(self.values) - 1)
        index = self._order[place]
        return np.where(self.values[index] == values, index, LIMIT)

    def _set(self, values: Column) -> None:
        self.values = values
        self._order = np.argsort(values)

    def state(self) -> bytes:
        """The class numbers in order of appearance."""
        return to_bytes(self.values)

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        values = from_bytes("classes", state, 1)[0]
        if len(values) > LIMIT or len(np.unique(values)) != len(values):
            raise ProgressiveError(f"progressive state: classes: expected at most {LIMIT} different ones")
        self._set(values)


def leaders(indices: NDArray[np.intp], weights: Column, carried: Column, leader: int) -> NDArray[np.intp]:
    """Which class weighs most before the first of n rows and after each of them: indices of shape (n + 1,).

    `carried` is the weight of each class before, `leader` the one that led (-1: none). Of two that weigh the same the
    one that was there first goes on leading. Rows of index `LIMIT` cannot lead: they are several classes.
    """
    reached = np.empty(len(indices) + 1)
    reached[0] = carried[leader] if leader >= 0 else 0.0
    reached[1:] = np.where(indices < LIMIT, _weight_after(indices, weights, carried), -1.0)
    highest = np.maximum.accumulate(reached)
    takes_over = np.concatenate(([False], reached[1:] > highest[:-1]))
    since = np.maximum.accumulate(np.where(takes_over, np.arange(len(reached)), 0))
    return np.concatenate(([leader], indices))[since]


def _weight_after(indices: NDArray[np.intp], weights: Column, carried: Column) -> Column:
    """The weight of each row's own class once the row is counted."""
    order = np.argsort(indices, kind="stable")
    grouped = indices[order]
    sums = np.cumsum(weights[order])
    starts = np.concatenate(([True], grouped[1:] != grouped[:-1]))
    before_group = np.where(starts, sums - weights[order], 0.0)
    offset = before_group[np.maximum.accumulate(np.where(starts, np.arange(len(sums)), 0))]
    after = np.empty_like(sums)
    after[order] = carried[grouped] + (sums - offset)
    return after
