"""The threshold that a careful person would have used: chosen by what paid best so far, never by what comes."""

import logging

import msgspec
import numpy as np

from stream_app.decisions import Histogram, best, decided
from stream_app.money import Counts, Money

log = logging.getLogger(__name__)


class PolicyState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `Policy` is restored from."""

    key: list[float]
    since: int
    counts: list[int]
    before: list[int]


class Policy:
    """Decides each example by the threshold that paid best on all examples before its block: nothing is peeked at.

    A block is 1,024 examples; within it the threshold stays. `Value` is its one writer.
    """

    def __init__(self, money: Money) -> None:
        self._money = money
        self.step = money.step
        self.since = 0
        """Labelled examples that were counted before its first decision."""
        self.counts: Counts = np.zeros((2, 2), np.int64)
        self.before: Counts = np.zeros((2, 2), np.int64)
        """What the threshold of the configuration had decided by then."""

    def fold(self, block: Histogram, histogram: Histogram) -> None:
        """Decide a block, then choose again from all examples, this block included."""
        self.counts += decided(block, self.step)
        self.choose(histogram)

    def choose(self, histogram: Histogram) -> None:
        """The threshold for what comes next; of those that paid the same, the one next to the configured one."""
        self.step = best(histogram, self._money)

    def begin(self, histogram: Histogram) -> None:
        """Begin anew here, knowing these examples."""
        self.counts[:] = 0
        self.before = decided(histogram, self._money.step)
        self.since = int(histogram.sum())
        self.choose(histogram)

    def state(self) -> PolicyState:
        """Everything but the threshold chosen, which follows from the examples."""
        counts, before = self.counts.ravel().tolist(), self.before.ravel().tolist()
        return PolicyState(key=self._money.key, since=self.since, counts=counts, before=before)

    def restore(self, state: PolicyState, histogram: Histogram) -> None:
        """Go on from a state; begin anew where it was made with other money or another threshold."""
        if state.key != self._money.key:
            self.begin(histogram)
            log.info("value: other money: the progressive threshold begins anew after %d examples", self.since)
            return
        self.since = state.since
        self.counts, self.before = _square(state.counts), _square(state.before)
        self.choose(histogram)


def _square(counts: list[int]) -> Counts:
    return np.array(counts, np.int64).reshape(2, 2)
