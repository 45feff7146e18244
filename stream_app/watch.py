"""What somebody who watches the service sees: once a second all figures as one frame, told to whoever listens.

One frame is made and encoded for all of them; nothing of it depends on how many there are. Changes nothing learnt.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stream_app.alerting import Firing
from stream_app.beside import Beside
from stream_app.funnel import Figures as FunnelFigures
from stream_app.progressive.scores import Figures, numbers, part
from stream_app.recent import Quantiles
from stream_app.series import Series
from stream_app.series_file import SeriesFile
from stream_app.shadows import ShadowReport

if TYPE_CHECKING:
    from stream_app.service import Service

log = logging.getLogger(__name__)

EVERY_S = 1.0
MOST_WAITING = 2
"""Frames that wait for one listener; whoever is further behind is dropped."""

COLUMNS = (
    "loss", "loss_window", "loss_fading", "baseline", "baseline_window",
    "events_per_s", "labels_per_s", "predictions_per_s", "dead_letters_per_s", "lag",
    "servable_p50", "servable_p99", "event_age_p50", "event_age_p99", "predict_p50", "predict_p99", "value",
)  # fmt: skip
"""What is drawn over time; ages and latencies in seconds."""


class Frame(msgspec.Struct, frozen=True):
    """Everything that is shown live, at one moment."""

    at: float
    """Unix seconds."""
    columns: int
    """How many columns there are; more than before where a shadow is new."""
    row: list[float | None]
    """The time, then a figure per column."""
    status: dict[str, object]
    figures: Figures
    """The progressive report."""
    latency_s: dict[str, Quantiles]
    """By stage, and the ages of what is servable: p50, p90 and p99 of the latest, in seconds."""
    funnel: FunnelFigures
    shadows: list[ShadowReport]
    alerts: list[Firing]
    deployed: dict[str, int]
    """How often each tag was changed."""


class Seen(NamedTuple):
    """A frame as it is told: all of it, and its status alone, as JSON."""

    frame: bytes
    status: bytes


class Listener:
    """One who watches: frames come until `is_dropped`."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Seen] = asyncio.Queue(MOST_WAITING)
        self.is_dropped = False

    def tell(self, seen: Seen) -> None:
        """One more; who has not taken those before is dropped."""
        try:
            self.frames.put_nowait(seen)
        except asyncio.QueueFull:
            self.is_dropped = True


class Rates:
    """How fast counters grow, from one call to the next."""

    def __init__(self) -> None:
        self._before: tuple[float, dict[str, float]] | None = None

    def of(self, now_s: float, counters: Mapping[str, float]) -> dict[str, float | None]:
        """Per second since the call before; None at first, and where a counter has begun anew."""
        before, self._before = self._before, (now_s, dict(counters))
        if before is None or now_s <= before[0]:
            return dict.fromkeys(counters)
        grown = {name: value - before[1].get(name, value) for name, value in counters.items()}
        return {name: by / (now_s - before[0]) if by >= 0 else None for name, by in grown.items()}


class Watch:
    """Runs with the service; `seen` is of the last second, `series` also of the time before a restart."""

    def __init__(self, service: "Service", path: Path) -> None:
        """`path` is the file that figures over time are kept in."""
        self._service = service
        self._rates = Rates()
        self._kept = SeriesFile(path, COLUMNS)
        self._seen: Seen | None = None
        self.listeners: set[Listener] = set()
        self._looking = Beside("telling what the page shows", self._look_on)

    @property
    def series(self) -> Series:
        """Figures over time, a row a second."""
        return self._kept.series

    @property
    def seen(self) -> Seen:
        """The last frame."""
        return self._seen or self.look()

    @property
    def problem(self) -> str | None:
        """Why nothing new is told; None while it is."""
        return self._looking.problem

    def start(self) -> None:
        """Begin, within a running loop."""
        self._looking.start()

    async def close(self) -> None:
        """End; listeners hear no more."""
        await self._looking.close()

    async def _look_on(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("what the page shows could not be told; tried again")
            await asyncio.sleep(EVERY_S)

    def look(self) -> Seen:
        """Make the next frame, and tell it."""
        frame = self._frame()
        seen = self._seen = Seen(msgspec.json.encode(frame), msgspec.json.encode(frame.status))
        for listener in list(self.listeners):
            listener.tell(seen)
            if listener.is_dropped:
                self.listeners.discard(listener)
        return seen

    def _frame(self) -> Frame:
        service, at = self._service, round(time.time(), 3)
        joined = service.elsewhere.joined if service.settings.join.is_set else None
        latency = service.monitor.quantiles()
        shadows = service.shadows.reports()
        row = self._kept.add(at, self._figures(latency) | _losses_of(shadows))
        return Frame(
            at=at,
            columns=len(row),
            row=row,
            status=service.status(),
            figures=service.report(),
            latency_s=latency,
            funnel=service.serving.funnel.figures(joined),
            shadows=shadows,
            alerts=service.alerting.told(),
            deployed={served.tag: served.deployment.number for served in service.deployments.all()},
        )

    def _figures(self, latency: Mapping[str, Quantiles]) -> dict[str, float | None]:
        service = self._service
        counters = {
            "events_per_s": service.monitor.events,
            "labels_per_s": service.serving.labels,
            "predictions_per_s": service.serving.predictions,
            "dead_letters_per_s": service.monitor.counts.dead_letters,
        }
        figures: dict[str, float | None] = dict.fromkeys(COLUMNS)
        figures |= self._rates.of(time.monotonic(), counters) | _losses(service.report())
        for name in ("servable", "event_age", "predict"):
            figures |= {f"{name}_{share}": latency[name][share] for share in ("p50", "p99")}
        figures["lag"] = service.lag
        value = service.trainer.value
        figures["value"] = None if value is None else value.total
        return figures


def _losses(report: Figures) -> dict[str, float | None]:
    """The learner's own loss over the three stretches, and that of the simplest guess."""
    total, window, fading = (part(report, over) for over in ("total", "window", "fading"))
    return {
        "loss": numbers(total).get("average_loss"),
        "loss_window": numbers(window).get("average_loss"),
        "loss_fading": numbers(fading).get("average_loss"),
        "baseline": _guess(total),
        "baseline_window": _guess(window),
    }


def _losses_of(shadows: Sequence[ShadowReport]) -> dict[str, float | None]:
    """The loss of each shadow, beside the learner's own."""
    running = {shadow.name: shadow.status for shadow in shadows}
    return {f"shadow {name}": None if status is None else status.figures.loss for name, status in running.items()}


def _guess(figures: Figures) -> float | None:
    """What guessing alone loses, in the measure of the learner's own loss: log loss, squares, or the share of errors.

    The mean so far for numbers and probabilities, the majority for classes.
    """
    baselines = part(figures, "baselines")
    constant, majority = part(baselines, "constant"), numbers(part(baselines, "majority"))
    if "log_loss" in constant:
        return numbers(constant).get("log_loss")
    if "rmse" in numbers(constant):
        return numbers(constant)["rmse"] ** 2
    return 1.0 - majority["accuracy"] if "accuracy" in majority else None
