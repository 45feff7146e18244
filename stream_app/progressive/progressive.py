"""Progressive validation of one learner: takes its predictions as they come, gives figures and VW's table."""

from typing import Final, Literal

import msgspec
import numpy as np

from stream_app.progressive.binary import BinaryScores
from stream_app.progressive.multiclass import MulticlassScores
from stream_app.progressive.regression import RegressionScores
from stream_app.progressive.rows import (
    BLOCK,
    Column,
    Matrix,
    ProgressiveError,
    Rows,
    from_bytes,
    number,
    ratio,
    to_bytes,
)
from stream_app.progressive.scores import Figures, Json, LossScores, Scores
from stream_app.progressive.table import Row, Table, TableState
from stream_app.progressive.totals import LABELLED, UNLABELLED, Totals, TotalsState, powers_of
from stream_app.progressive.window import Window

Task = Literal["binary", "regression", "multiclass", "bandit"]

_SCORES: Final[dict[Task, type[Scores]]] = {
    "binary": BinaryScores,
    "regression": RegressionScores,
    "multiclass": MulticlassScores,
    "bandit": LossScores,
}
_VERSION: Final = 1
_SLACK: Final = 1e-9


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    task: str
    window: int
    fading: float
    progress: str
    totals: TotalsState
    table: TableState
    scores: bytes
    kept: bytes
    pending: bytes


class Progressive:
    """Figures over predictions that were made before the update with the same row (test, then train).

    One writer: the trainer calls `update` and `restore`. `report()`, `table()` and `state()` depend on the sequence of
    rows alone, byte for byte, never on how it was cut into batches or on restarts in between: rows are folded in blocks
    that end at multiples of 1,024, and rows of an unfinished block are part of the state. Memory is bounded.

    `window` counts labelled rows, `fading` is the weight of a labelled row relative to the next one (0 < fading <= 1),
    `progress` is VW's -P: "2.0" multiplies the weight at which the next table row is due, "100" adds to it.
    """

    def __init__(self, task: Task, window: int = 1000, fading: float = 0.999, progress: str = "2.0") -> None:
        if task not in _SCORES:
            raise ProgressiveError(f"task: expected one of {', '.join(_SCORES)}, got {task!r}")
        if window < 1:
            raise ProgressiveError(f"window: expected at least 1 row, got {window!r}")
        if not 0.0 < fading <= 1.0:
            raise ProgressiveError(f"fading: expected above 0 and at most 1, got {fading!r}")
        self.task: Final = task
        self._window = window
        self._fading = fading
        self._progress = progress
        self._powers = powers_of(fading, BLOCK)
        self._totals = Totals()
        self._table = Table(progress, has_classes=task == "multiclass")
        self._scores = _SCORES[task](self._powers)
        self._kept = Window(window, self._scores.columns)
        self._block: Matrix = np.zeros((5, BLOCK))
        self._pending = 0
        self._weight = 0.0  # about: only to see cheaply that no table row is due

    @property
    def examples(self) -> int:
        """Rows so far, labelled or not."""
        return self._totals.examples + self._pending

    def twin(self) -> "Progressive":
        """A fresh one with the same settings, which takes this one's state."""
        return Progressive(self.task, self._window, self._fading, self._progress)

    def update(
        self, labels: Column, predictions: Column, probabilities: Column | None, weights: Column, losses: Column
    ) -> None:
        """Append n rows in order, float64 columns of shape (n,); they are copied.

        `labels` are nan where unlabelled. `predictions` are numbers, classes for multiclass. `probabilities` of the
        positive class are None unless binary. Negative `weights` count as 0. `losses` are already weighted, 0.0
        where unlabelled.
        Raises ProgressiveError, with nothing appended, if columns are missing or differ in length.
        """
        count = len(labels)
        if self.task != "binary":
            probabilities = predictions
        elif probabilities is None:
            raise ProgressiveError("probabilities: a binary task needs them, got None")
        if not len(predictions) == len(probabilities) == len(weights) == len(losses) == count:
            raise ProgressiveError(
                f"columns differ in length: {count} labels, {len(predictions)} predictions, {len(probabilities)} "
                f"probabilities, {len(weights)} weights, {len(losses)} losses"
            )
        rows = Rows(labels, predictions, probabilities, weights, losses)
        start = 0
        while start < count:
            stop = min(count, start + BLOCK - self._pending)
            self._append(
                rows if stop - start == count else Rows(*(column[start:stop] for column in rows)), stop - start
            )
            start = stop

    def _append(self, rows: Rows, count: int) -> None:
        start = self._pending
        stop = self._pending = start + count
        block = self._block
        block[0, start:stop] = rows.labels
        block[1, start:stop] = rows.predictions
        if self.task == "binary":
            block[2, start:stop] = rows.probabilities
        weights = np.fmax(rows.weights, 0.0, out=block[3, start:stop])
        block[4, start:stop] = rows.losses
        self._weight += float(np.add.reduce(weights))
        if self._weight * (1.0 + _SLACK) >= self._table.due_at:
            self._add_due()
        if stop == BLOCK:
            self._fold()

    def _add_due(self) -> None:
        rows = self._pending_rows()
        with np.errstate(all="ignore"):
            self._table.add_due(rows, self._totals.running(rows), self._totals.examples)

    def _fold(self) -> None:
        rows = self._pending_rows()
        with np.errstate(all="ignore"):
            self._table.fold(rows)
            self._totals.fold(rows)
            self._kept.add(self._scores.fold(rows.labelled()))
        self._pending = 0
        self._weight = self._folded_weight()

    def _pending_rows(self) -> Rows:
        return Rows.of(self._block[:, : self._pending])

    def _folded_weight(self) -> float:
        return float(self._totals.sums[LABELLED] + self._totals.sums[UNLABELLED])

    def report(self) -> Figures:
        """All figures, ready for JSON; None where a figure is undefined or beyond float64, never nan.

        `total`, `window` and `fading` hold the figures of the task and of its baselines; `beaten_by` names the
        baselines that did strictly better over the window. Costs about a millisecond; changes nothing.
        """
        rows = self._pending_rows()
        with np.errstate(all="ignore"):
            totals = self._totals_with(rows)
            scores = self._copy_of_scores()
            window = self._kept.with_pending(scores.fold(rows.labelled()))
            over_window = scores.over(window)
            total = scores.total()
            if totals.labelled <= self._window and "roc_auc" in over_window:
                total |= {name: over_window[name] for name in ("roc_auc", "roc_auc_error")}
            return {
                "task": self.task,
                "total": total | self._counts(totals),
                "window": {"size": self._window, "labelled": window.shape[1], **over_window},
                "fading": {"factor": self._fading, **scores.fading()},
                "beaten_by": _beaten_by(over_window, scores.deciding),
            }

    def curves(self) -> Figures:
        """What can be drawn: binary tasks have scores, ROC, precision and recall, and calibration; classes confusions;
        regression distributions over the window; others nothing.

        `total` comes from a histogram, `window` is exact, and so is `total` while all rows are in the window. Costs
        some milliseconds; changes nothing.
        """
        rows = self._pending_rows()
        with np.errstate(all="ignore"):
            scores = self._copy_of_scores()
            window = self._kept.with_pending(scores.fold(rows.labelled()))
            total, over = scores.curves(), scores.curves_over(window)
            labelled = self._totals.labelled + int(np.count_nonzero(~np.isnan(rows.labels)))
            return {
                "task": self.task,
                "total": over if total and labelled <= self._window else total,
                "window": {"size": self._window, "labelled": window.shape[1], **over},
            }

    def counts(self) -> Figures:
        """The part of `total` that needs no scores, for a tenth of the time: examples, weights and the average loss."""
        with np.errstate(all="ignore"):
            return self._counts(self._totals_with(self._pending_rows()))

    def _counts(self, totals: Totals) -> Figures:
        loss, labelled, unlabelled, label_sum = totals.sums.tolist()
        return {
            "examples": totals.examples,
            "labelled": totals.labelled,
            "weighted_examples": number(labelled + unlabelled),
            "weighted_labelled": number(labelled),
            "weighted_label_sum": number(label_sum) if self.task in ("binary", "regression") else 0.0,
            "average_loss": ratio(loss, labelled),
            "since_last": self._table.since_last,
        }

    def table(self) -> list[Row]:
        """VW's progressive table so far, oldest row first: the last 200 rows."""
        return self._table.rows()

    def state(self) -> bytes:
        """Everything, as bytes that `restore` takes on an object built with the same arguments."""
        rows = self._pending_rows()
        return msgspec.msgpack.encode(
            _State(
                version=_VERSION,
                task=self.task,
                window=self._window,
                fading=self._fading,
                progress=self._progress,
                totals=self._totals.state(),
                table=self._table.state(),
                scores=self._scores.state(),
                kept=self._kept.state(pending=int(np.count_nonzero(~np.isnan(rows.labels)))),
                pending=to_bytes(self._block[:, : self._pending]),
            )
        )

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from. Raises ProgressiveError, with nothing changed."""
        try:
            fresh = self._restored(msgspec.msgpack.decode(state, type=_State))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProgressiveError(f"progressive state: {error}") from error
        self.__dict__.update(fresh.__dict__)

    def _restored(self, state: _State) -> "Progressive":
        if state.version != _VERSION:
            raise ProgressiveError(f"progressive state: version: expected {_VERSION}, got {state.version}")
        for name, own in (
            ("task", self.task),
            ("window", self._window),
            ("fading", self._fading),
            ("progress", self._progress),
        ):
            if getattr(state, name) != own:
                raise ProgressiveError(f"progressive state: {name}: expected {own!r}, got {getattr(state, name)!r}")
        fresh = self.twin()
        fresh._restore_parts(state)
        return fresh

    def _restore_parts(self, state: _State) -> None:
        pending = from_bytes("pending", state.pending, len(self._block))
        if pending.shape[1] >= BLOCK:
            raise ProgressiveError(f"progressive state: pending: {pending.shape[1]} rows, expected below {BLOCK}")
        self._pending = pending.shape[1]
        self._block[:, : self._pending] = pending
        self._totals.restore(state.totals)
        self._table.restore(state.table, self._pending)
        self._scores.restore(state.scores)
        self._kept.restore(state.kept)
        self._weight = self._folded_weight() + float(np.add.reduce(pending[3]))

    def _totals_with(self, rows: Rows) -> Totals:
        totals = Totals()
        totals.restore(self._totals.state())
        totals.fold(rows)
        return totals

    def _copy_of_scores(self) -> Scores:
        copy = _SCORES[self.task](self._powers)
        copy.restore(self._scores.state())
        return copy


def _beaten_by(figures: Figures, deciding: dict[str, str]) -> list[Json]:
    beaten_by: list[Json] = []
    for baseline, figure in deciding.items():
        own, others = figures[figure], figures["baselines"]
        other = others[baseline] if isinstance(others, dict) else None
        match own, other:
            case float(), {**values} if isinstance(theirs := values[figure], float):
                is_better = theirs > own if figure == "accuracy" else theirs < own
                beaten_by += [baseline] if is_better else []
    return beaten_by
