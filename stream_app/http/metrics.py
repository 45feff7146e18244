"""`GET /metrics` in Prometheus' text format. Figures are read when asked for; nothing is counted twice."""

import asyncio
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_app.figures import beaten_by, labelled_at
from stream_app.http.replies import SERVICE
from stream_app.metrics import USER_METRICS
from stream_app.monitor import STAGES
from stream_app.progressive.scores import numbers, part
from stream_app.service import Service
from stream_app.shadows import ShadowReport

MOST_TAGS = 100
"""Tags that are told apart; those that come later are `other`."""

FAILING = (*STAGES, "http", "hook", "webhook")
"""What errors are counted by."""

_TYPE = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


def routes() -> list[web.RouteDef]:
    """The routes of this subject."""
    return [web.get("/metrics", metrics)]


async def metrics(request: web.Request) -> web.Response:
    """All figures of this service, and those that users have defined."""
    service = request.app[SERVICE]
    figures = _Figures(service, await service.shadows.report())
    monitor, process = service.monitor, ProcessCollector(registry=None)
    text = b""
    # One after the other: a predict request waits for the longest of them, not for all, which take milliseconds.
    for collector in (*figures.parts(), monitor.stages, monitor.servable_ages, process, *USER_METRICS.all()):
        registry = CollectorRegistry()
        registry.register(collector)
        text += generate_latest(registry)
        await asyncio.sleep(0)
    return web.Response(body=text, headers=_TYPE)


class _Part(Collector):
    """Some figures, as the library wants to be asked for them."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        return self._collect()


class _Figures:
    """Reads a service's figures the moment that Prometheus asks."""

    def __init__(self, service: Service, shadows: Sequence[ShadowReport]) -> None:
        self._service = service
        self._shadows = shadows

    def parts(self) -> Iterator[_Part]:
        """By subject."""
        for collect in (self._model, self._counters, self._learning, self._checkpoints, self._ages, self._join):
            yield _Part(collect)
        for collect in (self._progressive, self._shadowing, self._alerts):
            yield _Part(collect)

    def _model(self) -> Iterator[Metric]:
        service = self._service
        model, kind = service.settings.model, service.settings.learner.kind
        yield _labelled(
            GaugeMetricFamily("weir_info", "1; the labels say which model this service is for, and Weir's version.",
                              labels=["model", "task", "learner", "version"]),
            [((model.name, model.task, kind, _version()), 1)],
        )  # fmt: skip
        deployed = GaugeMetricFamily(
            "weir_deployed", "Share of a tag's requests that a model answers.", labels=["tag", "model_id"]
        )
        for served in service.deployments.all()[:MOST_TAGS]:
            target = served.deployment.target
            shares = {candidate.model: candidate.weight for candidate in target.candidates}
            deployed.add_metric([served.tag, target.primary], max(0.0, 1.0 - sum(shares.values())))
            _labelled(deployed, [((served.tag, name), share) for name, share in shares.items()])
        yield deployed

    def _counters(self) -> Iterator[Metric]:
        service = self._service
        monitor, serving = service.monitor, service.serving
        counts = monitor.counts
        yield _counter("weir_records", "Records passed, since the start.", counts.records)
        yield _counter("weir_events", "Events of records passed, since the start.", monitor.events)
        yield _counter("weir_labelled_events", "Events with a label among those.", monitor.labelled)
        yield _counter("weir_duplicates", "Events dropped because their id was seen, since the start.",
                       counts.duplicates)  # fmt: skip
        yield _counters("weir_dead_letters", "Records not learnt, since the start, by what their reason is about.",
                        "reason", service.dead_letters.by_reason)  # fmt: skip
        yield _labelled(
            CounterMetricFamily("weir_predictions", "Events predicted, since the start, by who answered.",
                                labels=["target", "tag"]),
            _bounded(serving.predictions_by).items(),
        )  # fmt: skip
        yield _counter("weir_labels", "Late labels taken, since the start.", serving.labels)
        yield _counter("weir_requests", "POST requests, since the start.", monitor.requests)
        yield _counter("weir_request_errors", "POST requests that failed: overload, errors, events not predicted.",
                       monitor.request_errors)  # fmt: skip
        errors: dict[str, int] = {stage: monitor.errors[stage] for stage in FAILING}
        errors["checkpoint"] += service.checkpoint_failures
        yield _counters("weir_errors", "What failed, since the start, by stage.", "stage", errors)

    def _learning(self) -> Iterator[Metric]:
        service = self._service
        if service.lag is not None:
            yield GaugeMetricFamily("weir_lag_records", "Records not learnt yet.", service.lag)
        yield GaugeMetricFamily("weir_ready", "1 when /health/ready answers 200.", int(not service.problems()))
        is_up, is_learning = service.source.problem is None, service.is_learning
        yield GaugeMetricFamily("weir_source_up", "0 while the source does not answer.", int(is_up))
        yield GaugeMetricFamily("weir_learning", "1 where this is the service that learns.", int(is_learning))
        position = {str(part): offset for part, offset in service.trainer.position.items()}
        yield _gauges("weir_position", "Next offset to learn.", "partition", position)
        lineage = msgspec.structs.asdict(service.trainer.counts)
        yield _gauges("weir_lineage", "What the model has passed since the beginning of its lineage.", "of", lineage)
        yield GaugeMetricFamily("weir_dead_letters_kept", "Dead letters on disk.", len(service.dead_letters))

    def _checkpoints(self) -> Iterator[Metric]:
        service = self._service
        age_s = service.checkpoint_age_s
        if age_s is not None:
            yield GaugeMetricFamily("weir_checkpoint_age_seconds", "Since the newest checkpoint was taken.", age_s)
        yield GaugeMetricFamily(
            "weir_checkpoint_wait_seconds", "How long what was learnt waits for a checkpoint; 0: nothing waits.",
            service.checkpoint_wait_s,
        )  # fmt: skip
        yield GaugeMetricFamily(
            "weir_checkpoint_interval_seconds", "How often one is due: checkpoints.every_s.",
            service.settings.checkpoints.every_s,
        )  # fmt: skip

    def _ages(self) -> Iterator[Metric]:
        service = self._service
        monitor = service.monitor
        if (age_s := service.model_age_s) is not None:
            yield GaugeMetricFamily(
                "weir_model_age_seconds", "Since the model learnt last, while records wait to be learnt; else 0.", age_s
            )
        if monitor.event_age.count:
            ages = {name: age for name, age in monitor.event_age.quantiles().items() if age is not None}
            yield _gauges("weir_event_age_seconds", "Age of the latest events by their own time, when learnt.",
                          "share", ages)  # fmt: skip
        if (predicted := monitor.last.get("predict")) is not None:
            yield GaugeMetricFamily("weir_last_prediction_timestamp_seconds", "When an event was predicted last.",
                                    time.time() - (time.perf_counter() - predicted))  # fmt: skip
        if (labelled := labelled_at(service)) is not None:
            yield GaugeMetricFamily(
                "weir_last_label_timestamp_seconds", "When a labelled event was learnt last.", labelled
            )

    def _join(self) -> Iterator[Metric]:
        figures = self._service.elsewhere.figures()
        if figures:
            yield _gauges("weir_join", "Figures of the label join across machines.", "figure", figures)

    def _progressive(self) -> Iterator[Metric]:
        own = GaugeMetricFamily("weir_progressive", "Progressive figures.", labels=["figure", "over"])
        others = GaugeMetricFamily(
            "weir_progressive_baseline", "The same of the baselines.", labels=["baseline", "figure", "over"]
        )
        report = self._service.report()
        names: list[str] = []
        for over in ("total", "window", "fading"):
            figures = part(report, over)
            _labelled(own, [((name, over), value) for name, value in numbers(figures).items()])
            baselines = part(figures, "baselines")
            names = list(baselines)
            for baseline in names:
                theirs = numbers(part(baselines, baseline))
                _labelled(others, [((baseline, name, over), value) for name, value in theirs.items()])
        yield own
        yield others
        if (beaten := beaten_by(report)) is not None:
            yield _gauges("weir_beaten_by_baseline", "1 where a baseline does better over the full window.", "baseline",
                          {name: int(name in beaten) for name in names})  # fmt: skip

        if (value := self._service.trainer.value) is not None:
            brief = value.brief()
            yield _labelled(
                GaugeMetricFamily("weir_value", "What decisions were worth: [value].", labels=["of", "currency"]),
                [((name, str(brief["currency"])), worth) for name, worth in numbers(brief).items()],
            )  # fmt: skip

    def _shadowing(self) -> Iterator[Metric]:
        running = {shadow.name: int(shadow.state == "running") for shadow in self._shadows}
        if not running:
            return
        yield _gauges("weir_shadow_up", "1 while a shadow runs.", "shadow", running)
        yield _counters("weir_shadow_requests_dropped", "Requests that a shadow could not take in time.", "shadow",
                        {shadow.name: shadow.dropped for shadow in self._shadows})  # fmt: skip
        losses = GaugeMetricFamily(
            "weir_shadow_loss",
            "Loss of a shadow, and of its primary on the same events.",
            labels=["shadow", "of"],
        )
        lags = {}
        for shadow in self._shadows:
            if shadow.status is not None:
                figures = shadow.status.figures
                lags[shadow.name] = shadow.status.lag
                pairs = {"shadow": figures.loss, "primary": figures.primary_loss}
                _labelled(losses, [((shadow.name, of), loss) for of, loss in pairs.items() if loss is not None])
        yield losses
        yield _gauges("weir_shadow_lag_records", "Records that a shadow has not seen yet.", "shadow", lags)

    def _alerts(self) -> Iterator[Metric]:
        alerting, importance = self._service.alerting, self._service.importance
        firing = alerting.firing
        yield _gauges("weir_alert_firing", "1 while a rule of the service fires.", "rule",
                      {rule: int(rule in firing) for rule in alerting.rules})  # fmt: skip
        yield GaugeMetricFamily(
            "weir_importance_shifts", "1 while the order of the fields has changed suddenly.",
            int(importance.problem is not None),
        )  # fmt: skip
        if (correlation := importance.rank_correlation) is not None:
            yield GaugeMetricFamily(
                "weir_importance_rank_correlation", "Of the fields of the last two checkpoints measured.", correlation
            )


@functools.cache
def _version() -> str:
    return version("weir")


def _counter(name: str, description: str, value: float) -> Metric:
    return CounterMetricFamily(name, description, value=value)


def _counters(name: str, description: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(CounterMetricFamily(name, description, labels=[label]), [((key,), v) for key, v in values.items()])


def _gauges(name: str, description: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(GaugeMetricFamily(name, description, labels=[label]), [((key,), v) for key, v in values.items()])


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily, rows: Iterable[tuple[Sequence[str], float]]
) -> CounterMetricFamily | GaugeMetricFamily:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


def _bounded(by: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Predictions by target and tag, of which there are few, whatever was ever deployed."""
    rows: dict[tuple[str, str], int] = {("live", ""): 0}
    for (target, tag), count in by.items():
        key = (target, tag) if len(rows) <= MOST_TAGS or (target, tag) in rows else (target, "other")
        rows[key] = rows.get(key, 0) + count
    return rows
