"""What the scores of every task have in common, and those of a bandit learner: its own loss. Knows no stream."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np

from stream_app.progressive.rows import Column, Matrix, Rows, number, ratio
from stream_app.progressive.totals import Sums

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Figures = dict[str, Json]


def part(figures: Mapping[str, object], name: str) -> Figures:
    """The figures under a name, as `total` or `baselines`; none where there are none of that name."""
    found = figures.get(name)
    return found if isinstance(found, dict) else {}


def numbers(figures: Mapping[str, object]) -> dict[str, float]:
    """Those of the figures that are one number."""
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


class Scores(Protocol):
    """Figures of one task. `fold` is their one writer; `Progressive` is the one caller."""

    columns: ClassVar[int]
    """How many float64 values of a row the figures over a window need."""
    deciding: ClassVar[dict[str, str]]
    """For each baseline the figure that decides whether it beats the learner."""

    def __init__(self, powers: Column) -> None: ...

    def fold(self, rows: Rows) -> Matrix:
        """Count n labelled rows in; gives back what a window keeps of them, shape (columns, n)."""
        ...

    def total(self) -> Figures:
        """Figures over all rows so far."""
        ...

    def fading(self) -> Figures:
        """Figures in which each row weighs `fading` times as much as the next one."""
        ...

    def over(self, kept: Matrix) -> Figures:
        """Figures over some of the rows that `fold` gave back."""
        ...

    def curves(self) -> Figures:
        """What can be drawn of all rows so far; empty where nothing is kept for it."""
        ...

    def curves_over(self, kept: Matrix) -> Figures:
        """The same of some of the rows that `fold` gave back."""
        ...

    def state(self) -> bytes:
        """Everything counted, as bytes."""
        ...

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from. Raises ProgressiveError or msgspec.DecodeError."""
        ...


def averages(weight: float, loss: float) -> Figures:
    """The figures that every task has: labelled weight, and the learner's own loss per weight."""
    return {"weighted_labelled": number(weight), "average_loss": ratio(loss, weight)}


class LossScores:
    """Average loss only. Kept of each row: weight, loss."""

    columns: ClassVar[int] = 2
    deciding: ClassVar[dict[str, str]] = {}

    def __init__(self, powers: Column) -> None:
        self._sums = Sums(self.columns, powers)

    def fold(self, rows: Rows) -> Matrix:
        """Count n labelled rows in, shape (2, n) back."""
        kept = np.stack([rows.weights, rows.losses])
        self._sums.add(kept)
        return kept

    def total(self) -> Figures:
        """Figures over all rows so far."""
        return averages(*self._sums.total)

    def fading(self) -> Figures:
        """Figures in which each row weighs `fading` times as much as the next one."""
        return averages(*self._sums.faded)

    def over(self, kept: Matrix) -> Figures:
        """Figures over some of the rows that `fold` gave back."""
        return averages(*np.add.reduce(kept, axis=1))

    def curves(self) -> Figures:
        """Nothing."""
        return {}

    def curves_over(self, kept: Matrix) -> Figures:
        """Nothing."""
        return {}

    def state(self) -> bytes:
        """Everything counted, as bytes."""
        return self._sums.state()

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        self._sums.restore(state)
