"""What numbers the settings may be. Knows names and numbers only."""

import math
from typing import NamedTuple

from stream_app.sources.blocks import MAX_PARTITIONS


class Range(NamedTuple):
    """From `least` to `most`, both allowed unless it is open.

    >>> [str(one) for one in (Range(0), Range(1, 1024), Range(0, is_open=True), Range(0, 1, is_open=True))]
    ['at least 0', '1 to 1,024', 'more than 0', 'between 0 and 1']
    """

    least: float
    most: float = math.inf
    is_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether the value is allowed; nan never is."""
        return self.least < value < self.most if self.is_open else self.least <= value <= self.most

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"more than {self.least:,}" if self.is_open else f"at least {self.least:,}"
        return f"between {self.least:,} and {self.most:,}" if self.is_open else f"{self.least:,} to {self.most:,}"


POSITIVE = Range(0, is_open=True)

RANGES = {
    "learner.names": Range(0),
    "learner.names_every": Range(1),
    "learner.names_first": Range(0),
    "events.dedupe_window": Range(0),
    "events.max_bytes": Range(1),
    "source.batch": Range(1, 1024),
    "source.timeout_s": POSITIVE,
    "source.partitions": Range(1, MAX_PARTITIONS),
    "checkpoints.every_events": Range(1),
    "checkpoints.every_s": POSITIVE,
    "checkpoints.keep": Range(1),
    "deploy.models": Range(1),
    "deploy.guard_worsens_by": Range(0),
    "shadows.fraction": Range(0, 1),
    "shadows.patience_s": POSITIVE,
    "http.port": Range(0, 65_535),
    "http.max_body_bytes": Range(1),
    "http.max_waiting": Range(1),
    "progressive.window": Range(1, 1_000_000),
    "progressive.fading": Range(0, 1, is_open=True),
    "importance.every_s": Range(0),
    "importance.alert_below": Range(-1, 1),
    "state.dead_letters": Range(1),
    "predictions.keep": Range(1),
    "predictions.keep_s": POSITIVE,
    "predictions.keep_bytes": Range(1),
    "alerts.every_s": POSITIVE,
    "alerts.window_s": POSITIVE,
    "join.wait_s": POSITIVE,
    "join.partitions": Range(1, MAX_PARTITIONS),
}
"""By setting; one that is not set is always in it."""
