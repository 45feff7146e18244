"""A Prometheus histogram that one thread counts in. Knows not what is measured."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Counted:
    """How many numbers were at most each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One more. The library's own takes its locks, and four times as long; `/predict` pays each time."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Bound and how many were at most that, as Prometheus writes them."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


class Histogram(Collector):
    """One for each value of a label, or a single one without a label."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], label: str = "", values: Sequence[str] = ("",)
    ) -> None:
        """`bounds` ascend; what is above the last is counted too."""
        self._name = name
        self._documentation = documentation
        self._label = label
        self._by_value = {value: Counted(bounds) for value in values}

    def of(self, value: str = "") -> Counted:
        """The one to count in."""
        return self._by_value[value]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Called by the registry."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label] if self._label else [])
        for value, counted in self._by_value.items():
            family.add_metric([value] if self._label else [], counted.buckets(), counted.total)
        yield family
