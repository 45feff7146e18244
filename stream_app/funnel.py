"""The funnel from prediction to label: how many were predicted, wait, and got their label, in time or not at all."""

import msgspec

from stream_app.prediction_log import PredictionLog
from stream_app.recent import Recent

_JOINED = {
    "waiting": "waiting",
    "in_time": "joined",
    "late": "late_labels",
    "expired": "expired_predictions",
    "duplicate": "duplicates",
    "orphan": "expired_labels",
}
"""What the figures are called that the join across machines counts."""


class Figures(msgspec.Struct, frozen=True):
    """What became of predictions, and of labels. None where this service cannot know: it is joined elsewhere."""

    predicted: int
    """Predictions under an id, which are kept for a label."""
    waiting: int | None
    in_time: int | None
    """Labels that met their prediction."""
    late: int | None
    """Labels that came after their prediction had expired."""
    expired: int | None
    """Predictions that were given up without a label."""
    duplicate: int | None
    orphan: int | None
    """Labels of an id that was never predicted, or is not known any more."""
    delay_s: dict[str, float | None]
    """From prediction to label, of the latest labels: p50, p90, p99."""


class Funnel:
    """What the log of predictions has counted, and how long labels took since the start."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self.delays = Recent()

    def figures(self, joined: dict[str, int] | None) -> Figures:
        """As they are now. `joined` is what the join across machines counts, where labels go there; see `[join]`."""
        counts = msgspec.structs.asdict(self._log.counts)
        labels = {name: counts[name] if joined is None else joined.get(theirs) for name, theirs in _JOINED.items()}
        return Figures(predicted=counts["predicted"], delay_s=self.delays.quantiles(), **labels)
