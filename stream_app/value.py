"""What the decisions of a binary learner were worth, and which threshold pays best. Knows no learner and no stream."""

import logging

import msgspec
import numpy as np

from stream_app.decisions import Codes, Histogram, best, codes_of, decided, histogram_of
from stream_app.money import NEVER, STEPS, Money, threshold_of
from stream_app.progressive.rows import BLOCK, Column, Matrix, ProgressiveError, from_bytes, ratio, to_bytes
from stream_app.progressive.scores import Figures, Json
from stream_app.progressive.window import Window
from stream_app.progressive_threshold import Policy, PolicyState

log = logging.getLogger(__name__)

_VERSION = 1
_PER = 1000.0


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    since: int
    places: bytes
    counts: bytes
    kept: bytes
    pending: bytes
    policy: PolicyState


class Value:
    """Counts what a learner's decisions earned, from predictions that were made before the update with the same row.

    One writer: the trainer, which calls `update`, `begin_after` and `restore`. Each labelled example is one decision,
    whatever its weight. Kept are counts by probability and outcome, no money, so other money gives other sums of the
    same past; only the progressive threshold, which chose by the money, then begins anew. `state()` depends on the
    sequence of rows alone, byte for byte: rows are folded in blocks that end at multiples of 1,024, as in Progressive.
    Memory is bounded. `window` counts labelled examples.
    """

    def __init__(self, money: Money, window: int = 1000) -> None:
        self.money = money
        self.since = 0
        """Examples that were learnt before the first one counted here."""
        self._histogram: Histogram = np.zeros((2, STEPS), np.int64)
        self._kept = Window(window, 1)
        self._policy = Policy(money)
        self._block: Matrix = np.zeros((2, BLOCK))
        self._pending = 0

    def update(self, labels: Column, probabilities: Column) -> None:
        """Append n rows in order, shape (n,), copied: labels above 0 are positive, nan is none; probabilities of it."""
        count = len(labels)
        start = 0
        while start < count:
            stop = min(count, start + BLOCK - self._pending)
            place = slice(self._pending, self._pending + stop - start)
            self._block[0, place] = labels[start:stop]
            self._block[1, place] = probabilities[start:stop]
            self._pending = place.stop
            if place.stop == BLOCK:
                self._fold()
            start = stop

    def _fold(self) -> None:
        codes = self._pending_codes()
        block = histogram_of(codes)
        self._histogram += block
        self._policy.fold(block, self._histogram)
        self._kept.add(codes[None].astype(np.float64))
        self._pending = 0

    def _pending_codes(self) -> Codes:
        return codes_of(*self._block[:, : self._pending])

    @property
    def total(self) -> float:
        """The running sum."""
        return self.money.of(decided(self._histogram + histogram_of(self._pending_codes()), self.money.step))

    def brief(self) -> Figures:
        """The short form: currency, sums in total and over the window, and in total per 1,000 predictions."""
        total, window = self._parts()
        paid = self.money.of(decided(total, self.money.step))
        return {
            "currency": self.money.currency,
            "total": paid,
            "window": self.money.of(decided(window, self.money.step)),
            "per_1000": ratio(_PER * paid, int(total.sum())),
        }

    def report(self) -> Figures:
        """All figures, ready for JSON; None where nothing was counted, and for the threshold that is never reached."""
        total, window = self._parts()
        pending = histogram_of(self._pending_codes())
        return {
            "currency": self.money.currency,
            "threshold": threshold_of(self.money.step),
            "since": self.since,
            "total": self._figures(total),
            "window": {"size": self._kept.size, **self._figures(window)},
            "progressive": self._progressive(total, pending),
            "hindsight": self._hindsight(total),
        }

    def _parts(self) -> tuple[Histogram, Histogram]:
        """Everything so far, and what of it is in the window."""
        codes = self._pending_codes()
        window = self._kept.with_pending(codes[None].astype(np.float64))[0].astype(np.intp)
        return self._histogram + histogram_of(codes), histogram_of(window)

    def _figures(self, histogram: Histogram) -> Figures:
        counts = decided(histogram, self.money.step)
        value, count = self.money.of(counts), int(counts.sum())
        always_yes, always_no = (self.money.of(decided(histogram, step)) for step in (0, NEVER))
        cells: list[Json] = [
            {
                "actual": cell.actual,
                "predicted": cell.predicted,
                "count": int(counts[cell.row, cell.column]),
                "each": cell.each,
                "value": cell.each * int(counts[cell.row, cell.column]) + 0.0,  # -0.0 is 0.0
            }
            for cell in self.money.cells
        ]
        return {
            "count": count,
            "value": value,
            "per_1000": ratio(_PER * value, count),
            "always_yes": always_yes,
            "always_no": always_no,
            "over_better": value - max(always_yes, always_no),
            "cells": cells,
        }

    def _progressive(self, total: Histogram, pending: Histogram) -> Figures:
        policy = self._policy
        counts = policy.counts + decided(pending, policy.step)
        value, count = self.money.of(counts), int(counts.sum())
        configured = self.money.of(decided(total, self.money.step) - policy.before)
        return {
            "since": policy.since,
            "count": count,
            "value": value,
            "per_1000": ratio(_PER * value, count),
            "over_configured": value - configured,
            "threshold": _threshold(policy.step),
        }

    def _hindsight(self, total: Histogram) -> Figures:
        step = best(total, self.money)
        value = self.money.of(decided(total, step))
        return {"threshold": _threshold(step), "value": value, "per_1000": ratio(_PER * value, int(total.sum()))}

    def state(self) -> bytes:
        """Everything, as bytes that `restore` takes."""
        flat = self._histogram.ravel()
        places = np.flatnonzero(flat)
        labelled = int(np.count_nonzero(~np.isnan(self._block[0, : self._pending])))
        return msgspec.msgpack.encode(
            _State(
                version=_VERSION,
                since=self.since,
                places=places.astype("<u2").tobytes(),
                counts=flat[places].astype("<i8").tobytes(),
                kept=self._kept.state(pending=labelled),
                pending=to_bytes(self._block[:, : self._pending]),
                policy=self._policy.state(),
            )
        )

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from. Raises ProgressiveError, with nothing changed."""
        fresh = Value(self.money, self._kept.size)
        try:
            fresh._restore_parts(msgspec.msgpack.decode(state, type=_State))
        except (msgspec.DecodeError, ValueError) as error:
            raise ProgressiveError(f"value state: {error}") from error
        self.__dict__.update(fresh.__dict__)

    def begin_after(self, examples: int) -> None:
        """Begin with nothing, after so many examples that were not counted."""
        self.__dict__.update(Value(self.money, self._kept.size).__dict__)
        self.since = examples
        if examples:
            log.info("value: counted from here on, after %d examples", examples)

    def _restore_parts(self, state: _State) -> None:
        if state.version != _VERSION:
            raise ProgressiveError(f"version: expected {_VERSION}, got {state.version}")
        places = np.frombuffer(state.places, "<u2").astype(np.intp)
        counts = np.frombuffer(state.counts, "<i8")
        pending = from_bytes("pending", state.pending, 2)
        if len(places) != len(counts) or (places >= 2 * STEPS).any() or pending.shape[1] >= BLOCK:
            raise ProgressiveError(f"{len(places)} places, {len(counts)} counts and {pending.shape[1]} pending rows")
        self.since = state.since
        self._histogram.reshape(-1)[places] = counts
        self._kept.restore(state.kept)
        self._pending = pending.shape[1]
        self._block[:, : self._pending] = pending
        self._policy.restore(state.policy, self._histogram)


def is_same_past(was: bytes, now: bytes) -> bool:
    """Whether two states have counted the same examples; of the same money, also with the same thresholds.

    Raises ProgressiveError for bytes that are no state.
    """
    try:
        old, new = (msgspec.msgpack.decode(state, type=_State) for state in (was, now))
    except msgspec.DecodeError as error:
        raise ProgressiveError(f"value state: {error}") from error
    if old.policy.key != new.policy.key:
        old = msgspec.structs.replace(old, policy=new.policy)
    return old == new


def _threshold(step: int) -> float | None:
    return None if step == NEVER else threshold_of(step)
