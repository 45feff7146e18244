"""The figures of a service, as rules and /metrics read them; the progressive report is worked out once per change."""

import time
from typing import TYPE_CHECKING

from stream_app.alerts import Figures
from stream_app.progressive.scores import Figures as Report
from stream_app.progressive.scores import part
from stream_app.trainer import Trainer

if TYPE_CHECKING:
    from stream_app.service import Service


QUICK_S = 0.02
SHARE = 20
"""A report that is not quick takes at most this part of the time."""


class LatestReport:
    """The trainer's progressive report, which costs about a millisecond, kept until something more is learnt.

    With a window of 100,000 it costs 70: then the last one stays for SHARE times as long as that. What counts is the
    time of this thread: other work on the machine makes no report old.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._of: object = None
        self._report: Report = {}
        self._fresh_until = 0.0

    def __call__(self) -> Report:
        trainer = self._trainer
        of = trainer.live_id, trainer.parent, trainer.counts.records, trainer.counts.excepted
        if of != self._of and time.monotonic() >= self._fresh_until:
            began = time.thread_time()
            self._report, self._of = trainer.parts.progressive.report(), of
            took_s = time.thread_time() - began
            self._fresh_until = time.monotonic() + SHARE * took_s if took_s > QUICK_S else 0.0
        return self._report


def figures_of(service: "Service") -> Figures:
    """What the rules ask for, now."""
    now_s, monitor = time.time(), service.monitor
    predicted = monitor.last.get("predict")
    return Figures(
        at_s=now_s,
        no_prediction_s=None if predicted is None else time.perf_counter() - predicted,
        no_label_s=None if (labelled := labelled_at(service)) is None else max(0.0, now_s - labelled),
        requests=monitor.requests,
        request_errors=monitor.request_errors,
        records=monitor.counts.records,
        dead_letters=monitor.counts.dead_letters,
        lag=service.lag,
        model_age_s=service.model_age_s,
        servable=monitor.servable.count,
        servable_s=monitor.servable_s,
        checkpoint_wait_s=service.checkpoint_wait_s,
        checkpoint_every_s=service.settings.checkpoints.every_s,
        beaten_by=None if (beaten := beaten_by(service.report())) is None else len(beaten),
        importance_shifts=int(service.importance.problem is not None),
    )


def labelled_at(service: "Service") -> float | None:
    """When the service that learns has learnt a labelled event last; None where another one learns."""
    return service.monitor.labelled_at if service.is_learning else None


def beaten_by(report: Report) -> list[str] | None:
    """Baselines that do better over the window; None while it is not full."""
    window, beaten = part(report, "window"), report.get("beaten_by")
    if not window or window["labelled"] != window["size"] or not isinstance(beaten, list):
        return None
    return [str(name) for name in beaten]
