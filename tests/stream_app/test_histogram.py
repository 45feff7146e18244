"""Our histogram against the library's."""

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from stream_app.histogram import Histogram

BOUNDS = (0.001, 0.5, 1.0, 300.0, 86_400.0)
NUMBERS = st.floats(0, 1e6) | st.sampled_from(BOUNDS)


def text(collector: Collector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@given(observed=st.lists(st.tuples(st.sampled_from(["a", "b"]), NUMBERS)))
def test_it_says_what_the_library_would_say(observed: list[tuple[str, float]]) -> None:
    ours = Histogram("took_seconds", "Time.", BOUNDS, "stage", ["a", "b"])
    theirs = prometheus_client.Histogram("took_seconds", "Time.", ["stage"], registry=None, buckets=BOUNDS)
    for stage in ("a", "b"):
        theirs.labels(stage)
    for stage, number in observed:
        ours.of(stage).observe(number)
        theirs.labels(stage).observe(number)
    assert text(ours) == text(theirs)


@given(observed=st.lists(NUMBERS))
def test_one_without_a_label_too(observed: list[float]) -> None:
    ours = Histogram("age_seconds", "Age.", BOUNDS)
    theirs = prometheus_client.Histogram("age_seconds", "Age.", registry=None, buckets=BOUNDS)
    for number in observed:
        ours.of().observe(number)
        theirs.observe(number)
    assert text(ours) == text(theirs)
