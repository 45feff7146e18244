"""Metrics of the user's own, for hooks: defined once, reported from any thread, shown by `GET /metrics`.

from stream_app.metrics import add_metric, report_metric

add_metric("basket_value_eur", "histogram", "Value of a basket.", buckets=[10, 50, 100])
report_metric("basket_value_eur", 42.0)
"""

import math
import re
import threading
from collections.abc import Sequence
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

MOST = 200
"""Metrics of users, at most: each is kept and sent as long as the process lives."""

TYPES: Final = {"counter": Counter, "gauge": Gauge, "histogram": Histogram, "summary": Summary}

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS = re.compile(r"(weir|process|python|__)")


class MetricError(ValueError):
    """A metric that cannot be defined or reported so. The message names it and says what to do."""


class _Defined(msgspec.Struct, frozen=True):
    type: str
    description: str
    buckets: tuple[float, ...] | None


class UserMetrics:
    """Metrics by name. Safe for threads. Begins anew with each process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._defined: dict[str, _Defined] = {}
        self._metrics: dict[str, Counter | Gauge | Histogram | Summary] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Counter | Gauge | Histogram | Summary]:
        """All metrics, in the order in which they were defined."""
        return list(self._metrics.values())

    def add(self, name: str, type_: str, description: str, buckets: Sequence[float] | None = None) -> None:
        """See add_metric."""
        defined = _Defined(type_.lower(), description, None if buckets is None else tuple(map(float, buckets)))
        with self._lock:
            known = self._defined.get(name)
            if known == defined:
                return
            if known is not None:
                raise MetricError(f"metric {name!r}: it is a {known.type} already, {known.description!r}: rename one")
            self._check(name, defined)
            self._metrics[name] = self._made(name, defined)
            self._defined[name] = defined

    def report(self, name: str, value: float) -> None:
        """See report_metric."""
        metric = self._metrics.get(name)
        if metric is None:
            raise MetricError(f"metric {name!r}: not defined; call add_metric first")
        if not math.isfinite(value):
            raise MetricError(f"metric {name!r}: {value!r}, expected a finite number")
        if isinstance(metric, Counter):
            if value < 0:
                raise MetricError(f"metric {name!r}: {value!r}, but a counter only grows; make it a gauge")
            metric.inc(value)
        elif isinstance(metric, Gauge):
            metric.set(value)
        else:
            metric.observe(value)

    def _check(self, name: str, defined: _Defined) -> None:
        if not _NAME.fullmatch(name):
            raise MetricError(f"metric {name!r}: expected letters, digits and _, and no digit first")
        if _OURS.match(name):
            raise MetricError(f"metric {name!r}: names that begin with weir, process, python or __ are taken")
        if defined.type not in TYPES:
            raise MetricError(f"metric {name!r}: type {defined.type!r}, expected one of {', '.join(TYPES)}")
        if defined.buckets is not None and defined.type != "histogram":
            raise MetricError(f"metric {name!r}: buckets are for histograms, it is a {defined.type}")
        if defined.buckets is not None and any(math.isnan(bucket) for bucket in defined.buckets):
            raise MetricError(f"metric {name!r}: buckets {defined.buckets!r}, expected numbers")
        if len(self._defined) >= MOST:
            raise MetricError(f"metric {name!r}: {MOST} are defined already; report values, not names")

    def _made(self, name: str, defined: _Defined) -> Counter | Gauge | Histogram | Summary:
        try:
            if defined.type == "histogram" and defined.buckets is not None:
                return Histogram(name, defined.description, registry=self._registry, buckets=defined.buckets)
            made: Counter | Gauge | Histogram | Summary = TYPES[defined.type](
                name, defined.description, registry=self._registry
            )
            return made
        except ValueError as error:
            raise MetricError(f"metric {name!r}: {error}") from error


USER_METRICS = UserMetrics()
"""Those of this process: users' modules define theirs while they are imported, before any service is built."""


def add_metric(name: str, type: str, description: str, buckets: Sequence[float] | None = None) -> None:
    """Define a metric: a counter, gauge, histogram or summary. Again with the same words, it changes nothing.

    Counters end in `_total` when they are shown. `buckets` are upper bounds in rising order, for histograms. Raises
    MetricError for a name that is taken or no name, an unknown type, and for the metric after the MOSTth.
    """
    USER_METRICS.add(name, type, description, buckets)


def report_metric(name: str, value: float = 1.0) -> None:
    """Add `value` to a counter, set a gauge to it, or observe it. Raises MetricError for what was not defined."""
    USER_METRICS.report(name, value)
