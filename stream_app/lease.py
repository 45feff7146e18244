"""For how long partitions that were shared out may be taken for one's own without hearing. Knows no Kafka."""

import math
import time
from collections.abc import Callable

MayWrite = Callable[[], bool]
"""Asked right before something is written: whether it is still ours to write."""


def uptime_s() -> float:
    """A clock that goes on while the process is stopped or the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Held for `length_s` after whoever shares out was last asked and answered that we are counted in.

    One thread renews it, others ask. The length must be shorter than the time after which others are given what is
    ours: then nobody else has it while the lease is held, however long the process was stopped before it asks.
    """

    def __init__(self, length_s: float, clock: Callable[[], float] = uptime_s) -> None:
        self.clock = clock
        self._length_s = length_s
        self._until_s = -math.inf

    @property
    def is_held(self) -> bool:
        """Whether what is ours is certainly nobody else's now."""
        return self.clock() < self._until_s

    def renew(self, asked_at_s: float) -> None:
        """We were counted in when we asked, or later."""
        self._until_s = asked_at_s + self._length_s

    def drop(self) -> None:
        """We are counted in no more."""
        self._until_s = -math.inf
