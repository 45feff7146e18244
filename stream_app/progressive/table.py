"""VW's progressive table: rows at doubling weight, in VW's own layout. Knows no learner and no stream."""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from stream_app.progressive.rows import Matrix, ProgressiveError, Rows, number, ratio
from stream_app.progressive.totals import LABELLED, LOSS, UNLABELLED, sequential_sum

HEADER: Final = (
    "average  since         example        example        current        current  current\n"
    "loss     last          counter         weight          label        predict features"
)
"""The two lines that VW prints above the table."""

KEPT_ROWS: Final = 200


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table, exact at that example.

    `average_loss` and `since_last` are per labelled weight, None where there is none. `example_weight` counts labelled
    and unlabelled examples. `label` is None while unlabelled; classes are integers. `features` is None where unknown.
    """

    average_loss: float | None
    since_last: float | None
    example_counter: int
    example_weight: float
    label: int | float | None
    prediction: int | float | None
    features: int | None = None


def format_row(row: Row) -> str:
    """The line that VW prints for this row.

    >>> format_row(Row(0.331603, 0.064245, 2, 3.5, 0.0, 0.2535, 2))
    '0.331603 0.064245            2            3.5         0.0000         0.2535        2'
    """
    features = "n.a." if row.features is None else str(row.features)
    label = "unknown" if row.label is None else _answer(row.label)
    return (
        f"{_loss(row.average_loss):8} {_loss(row.since_last):8} {row.example_counter:12d} {row.example_weight:14.1f} "
        f"{_cut(label):>14} {_cut(_answer(row.prediction)):>14} {features:>8}"
    )


def format_table(rows: Iterable[Row]) -> str:
    """The header and the lines of these rows, as VW prints them."""
    return "\n".join([HEADER, *map(format_row, rows)])


def _loss(value: float | None) -> str:
    return "n.a." if value is None else f"{value:.6f}"[:8]


def _answer(value: float | None) -> str:
    if value is None:
        return "n.a."
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _cut(text: str) -> str:
    return text if len(text) <= 14 else text[:11] + "..."


class TableState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `Table` is restored from."""

    due_at: float
    since_loss: float
    labelled_at_last: float
    start: int
    rows: list[Row]


class Table:
    """Rows whenever the weight of all examples reaches the next due weight; the last 200 are kept.

    `progress` is VW's -P: with a point ("2.0") the due weight is multiplied by it, without ("100") it is added.
    All due weights are float32, as in VW, so rows fall on the same examples.
    """

    def __init__(self, progress: str, has_classes: bool) -> None:
        self._is_multiplied = "." in progress
        self._step = np.float32(_step(progress))
        self._has_classes = has_classes
        self._rows: deque[Row] = deque(maxlen=KEPT_ROWS)
        self._since_loss = 0.0
        self._labelled_at_last = 0.0
        self._start = 0  # row of the block from which on `_since_loss` still has to be added up
        self.due_at = 1.0 if self._is_multiplied else float(self._step)

    def rows(self) -> list[Row]:
        """The rows so far, oldest first."""
        return list(self._rows)

    @property
    def since_last(self) -> float | None:
        """The since-last figure of the last row."""
        return self._rows[-1].since_last if self._rows else None

    def add_due(self, rows: Rows, running: Matrix, examples: int) -> None:
        """Add a row for each example of the block so far that is due.

        `running` are the `Totals.running` of `rows`, of shape (4, n + 1); `examples` were counted before the block.
        """
        weights = running[LABELLED, 1:] + running[UNLABELLED, 1:]
        while True:
            index = self._start + int(np.searchsorted(weights[self._start :], self.due_at))
            if index >= len(weights):
                return
            self._add(rows, running, index, examples + index + 1)
            self._set_due(float(weights[index]))

    def fold(self, rows: Rows) -> None:
        """End the block: carry the loss since the last row over to the next one."""
        self._since_loss = self._loss_since(rows, len(rows.labels))
        self._start = 0

    def _loss_since(self, rows: Rows, end: int) -> float:
        return sequential_sum(self._since_loss, rows.losses[self._start : end])

    def _add(self, rows: Rows, running: Matrix, index: int, examples: int) -> None:
        loss, labelled, unlabelled = (float(running[which, index + 1]) for which in (LOSS, LABELLED, UNLABELLED))
        row = Row(
            average_loss=ratio(loss, labelled),
            since_last=ratio(self._loss_since(rows, index + 1), labelled - self._labelled_at_last),
            example_counter=examples,
            example_weight=labelled + unlabelled,
            label=self._answer(rows.labels[index]),
            prediction=self._answer(rows.predictions[index]),
        )
        self._rows.append(row)
        self._since_loss, self._labelled_at_last, self._start = 0.0, labelled, index + 1

    def _answer(self, value: float) -> int | float | None:
        answer = number(value)
        return int(answer) if self._has_classes and answer is not None and abs(answer) < 2**53 else answer

    def _set_due(self, weight: float) -> None:
        at = np.float32(weight)
        self.due_at = float(at * self._step if self._is_multiplied else at + self._step)

    def state(self) -> TableState:
        """Everything, as a value."""
        return TableState(
            due_at=self.due_at,
            since_loss=self._since_loss,
            labelled_at_last=self._labelled_at_last,
            start=self._start,
            rows=self.rows(),
        )

    def restore(self, state: TableState, pending: int) -> None:
        """Become what `state` was taken from, when `pending` rows of the block had come."""
        if not 0 <= state.start <= pending:
            raise ProgressiveError(f"progressive state: table: start {state.start} outside of {pending} pending rows")
        self.due_at, self._since_loss = state.due_at, state.since_loss
        self._labelled_at_last, self._start = state.labelled_at_last, state.start
        self._rows = deque(state.rows, maxlen=KEPT_ROWS)


def _step(progress: str) -> float:
    try:
        step = float(progress)
    except ValueError as error:
        raise ProgressiveError(f"progress: {progress!r} is no number, expected e.g. '2.0' or '100'") from error
    if not 0.0 <= step < float(np.finfo(np.float32).max):
        raise ProgressiveError(f"progress: expected a finite number >= 0, got {progress!r}")
    if "." in progress:
        return step if step > 1.0 else step + 1.0
    return max(step, 1.0)
