"""Metrics of users: four types, defined once, reported from any thread."""

import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_app.metrics import MOST, MetricError, UserMetrics


def shown(metrics):
    text = ""
    for metric in metrics.all():
        registry = CollectorRegistry()
        registry.register(metric)
        text += generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, s.labels.get("le")): s.value for family in families for s in family.samples}


def test_each_type_shows_what_was_reported():
    metrics = UserMetrics()
    for type_ in ("counter", "gauge", "histogram", "summary"):
        metrics.add(f"a_{type_}", type_, "Of a test.", [1, 10] if type_ == "histogram" else None)
        metrics.report(f"a_{type_}", 2)
        metrics.report(f"a_{type_}", 3)
    found = shown(metrics)
    assert found["a_counter_total", None] == 5.0
    assert found["a_gauge", None] == 3.0
    assert [found["a_histogram_bucket", le] for le in ("1.0", "10.0", "+Inf")] == [0.0, 2.0, 2.0]
    assert (found["a_summary_sum", None], found["a_summary_count", None]) == (5.0, 2.0)


def test_types_are_taken_in_any_case():
    metrics = UserMetrics()
    metrics.add("a", "Counter", "Of a test.")
    metrics.add("a", "counter", "Of a test.")
    assert len(metrics.all()) == 1


def test_the_same_definition_again_changes_nothing():
    metrics = UserMetrics()
    metrics.add("a", "histogram", "Of a test.", [1, 2])
    metrics.report("a", 1.5)
    metrics.add("a", "histogram", "Of a test.", (1.0, 2.0))
    assert shown(metrics)["a_count", None] == 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a", "gauge", "Of a test."), "it is a counter already"),
        (("a", "counter", "Another."), "it is a counter already"),
        (("a_total", "counter", "Of a test."), "Duplicated"),
        (("b c", "counter", ""), "expected letters"),
        (("1b", "counter", ""), "expected letters"),
        (("", "counter", ""), "expected letters"),
        (("weir_b", "counter", ""), "are taken"),
        (("process_b", "counter", ""), "are taken"),
        (("b", "meter", ""), "expected one of counter, gauge, histogram, summary"),
        (("b", "counter", "", [1.0]), "buckets are for histograms"),
        (("b", "histogram", "", [2.0, 1.0]), "sorted"),
        (("b", "histogram", "", []), "at least"),
        (("b", "histogram", "", [float("nan")]), "expected numbers"),
    ],
)
def test_what_cannot_be_defined_is_told_with_its_name(given, said):
    metrics = UserMetrics()
    metrics.add("a", "counter", "Of a test.")
    with pytest.raises(MetricError, match=said) as raised:
        metrics.add(*given)
    assert repr(given[0]) in str(raised.value)


@pytest.mark.parametrize(("name", "value"), [("b", 1.0), ("a", -1.0), ("a", float("nan")), ("a", float("inf"))])
def test_what_cannot_be_reported_is_told(name, value):
    metrics = UserMetrics()
    metrics.add("a", "counter", "Of a test.")
    with pytest.raises(MetricError, match=f"metric '{name}'"):
        metrics.report(name, value)


def test_their_number_is_bounded():
    metrics = UserMetrics()
    for number in range(MOST):
        metrics.add(f"a{number}", "gauge", "Of a test.")
    with pytest.raises(MetricError, match="report values, not names"):
        metrics.add("one_more", "gauge", "Of a test.")


def test_threads_may_define_and_report_the_same():
    metrics = UserMetrics()

    def work():
        for _ in range(500):
            metrics.add("a", "counter", "Of a test.")
            metrics.report("a", 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown(metrics)["a_total", None] == 4_000.0
