"""The columns that all scores are computed from, and how they become bytes. Knows no score."""

import math
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
"""float64 of shape (n,)."""

Matrix = NDArray[np.float64]
"""float64 of shape (columns, n)."""

BLOCK: Final = 1024
"""Rows are folded in blocks that end at multiples of this, wherever the micro-batches were cut."""

LARGEST: Final = 1e120
"""Labels and predictions count as at most this in squared figures, which so stay finite."""


class ProgressiveError(ValueError):
    """Arguments, columns or a state that progressive validation cannot work with."""


class Rows(NamedTuple):
    """Consecutive rows of the stream, five columns of shape (n,). A label is nan where there is none."""

    labels: Column
    predictions: Column
    probabilities: Column
    weights: Column
    losses: Column

    @classmethod
    def of(cls, matrix: Matrix) -> Self:
        """The rows of a matrix of shape (5, n), as views."""
        return cls(*matrix)

    def labelled(self) -> "Rows":
        """The rows that have a label."""
        has_label = ~np.isnan(self.labels)
        if has_label.all():
            return self
        return Rows(*(column[has_label] for column in self))


def number(value: float) -> float | None:
    """A float fit for JSON: None where it is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, None where nothing was counted.

    >>> ratio(1.0, 4.0), ratio(1.0, 0.0)
    (0.25, None)
    """
    return number(float(part) / float(whole)) if whole > 0.0 else None


def to_bytes(values: Matrix) -> bytes:
    """Little-endian float64 in row order; every nan is the same nan."""
    canonical = np.where(np.isnan(values), np.nan, values)
    return canonical.astype("<f8", order="C").tobytes()


def from_bytes(name: str, data: bytes, rows: int) -> Matrix:
    """A writable matrix of shape (rows, n) from `to_bytes`. Raises ProgressiveError that names `name`."""
    if len(data) % (8 * rows):
        raise ProgressiveError(f"progressive state: {name}: {len(data)} bytes are not {rows} float64 columns")
    values: Matrix = np.frombuffer(data, dtype="<f8").astype(np.float64).reshape(rows, -1)
    return values


def exactly(name: str, data: bytes, size: int) -> Column:
    """A writable column of `size` values from `to_bytes`. Raises ProgressiveError that names `name`."""
    if len(data) != 8 * size:
        raise ProgressiveError(f"progressive state: {name}: expected {8 * size} bytes, got {len(data)}")
    values: Column = from_bytes(name, data, 1)[0]
    return values
