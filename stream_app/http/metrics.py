"""`GET /metrics` in Prometheus' text format. Figures are read when asked for; nothing is counted twice."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream_app.http.replies import SERVICE
from stream_app.service import Service

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

PREDICT_SECONDS = Histogram(
    "weir_predict_seconds", "Time to decode and predict one request, in seconds.", registry=None, buckets=_BUCKETS
)


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/metrics", metrics)]


async def metrics(request: web.Request) -> web.Response:
    """All figures of this service."""
    registry = CollectorRegistry()
    registry.register(_Figures(request.app[SERVICE]))
    registry.register(PREDICT_SECONDS)
    return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})


class _Figures:
    """Reads a service's figures the moment that Prometheus asks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        service = self._service
        counts, serving = service.trainer.counts, service.serving
        yield _counter("weir_records", "Records passed, since the beginning of the lineage.", counts.records)
        yield _counter(
            "weir_dead_letters", "Records not learnt, since the beginning of the lineage.", counts.dead_letters
        )
        yield _counter("weir_duplicates", "Events dropped because their id was seen.", counts.duplicates)
        yield _counter("weir_predictions", "Events predicted, since the start.", serving.predictions)
        yield _counter("weir_labels", "Late labels joined, since the start.", serving.labels)
        yield GaugeMetricFamily("weir_lag_records", "Records not learnt yet.", service.lag)
        yield GaugeMetricFamily("weir_ready", "1 when /health/ready answers 200.", int(not service.problems()))
        position = GaugeMetricFamily("weir_position", "Next offset to learn.", labels=["partition"])
        for partition, offset in service.trainer.position.items():
            position.add_metric([str(partition)], offset)
        yield position
        yield from self._progressive()

    def _progressive(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("weir_progressive", "Progressive figures.", labels=["figure", "over"])
        report = self._service.trainer.parts.progressive.report()
        for over in ("total", "window", "fading"):
            figures = report[over]
            if isinstance(figures, dict):
                for name, value in figures.items():
                    if isinstance(value, int | float):
                        family.add_metric([name, over], value)
        yield family


def _counter(name: str, description: str, value: float) -> Metric:
    family = CounterMetricFamily(name, description)
    family.add_metric([], value)
    return family
