"""Progressive: figures are a function of the rows alone, counted once, in bounded memory."""

import json
import math
from itertools import pairwise
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.progressive import Progressive, ProgressiveError, Task
from stream_app.progressive.progressive import _State
from stream_app.settings import GUARD_METRICS

TASKS = get_args(Task)


def stream(task, rows, seed=0, unlabelled=0.1):
    """Columns of `rows` rows as a trainer hands them over."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random(rows)
    if task == "binary":
        labels = np.where(rng.random(rows) < probabilities, 1.0, -1.0)
    elif task == "multiclass":
        labels = rng.integers(1, 6, rows) * 1.0
    else:
        labels = rng.normal(3.0, 2.0, rows)
    predictions = np.where(rng.random(rows) < 0.5, labels, 2.0)
    labels[rng.random(rows) < unlabelled] = np.nan
    weights = rng.choice([1.0, 0.5, 0.1, 3.0], rows)
    losses = np.where(np.isnan(labels), 0.0, rng.random(rows) * weights)
    return [labels, predictions, probabilities if task == "binary" else None, weights, losses]


def feed(progressive, columns, cuts=()):
    """Hand over the rows, cut into batches at `cuts`."""
    for start, stop in pairwise(sorted({0, len(columns[0]), *cuts})):
        progressive.update(*(None if column is None else column[start:stop] for column in columns))
    return progressive


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_state_depends_on_the_rows_and_not_on_batches_or_restarts(task, data):
    rows = data.draw(st.integers(1, 2600), "rows")
    columns = stream(task, rows, seed=data.draw(st.integers(0, 99), "seed"))
    cuts = data.draw(st.lists(st.integers(1, rows), max_size=12), "cuts")
    window = data.draw(st.sampled_from([1, 7, 1000, 1500]), "window")
    at_once = feed(Progressive(task, window), columns)
    cut = Progressive(task, window)
    for start, stop in pairwise(sorted({0, rows, *cuts})):
        feed(cut, [None if column is None else column[start:stop] for column in columns])
        if data.draw(st.booleans(), "restart"):
            state = cut.state()
            cut = Progressive(task, window)
            cut.restore(state)
            assert cut.state() == state
    assert cut.state() == at_once.state()
    assert cut.report() == at_once.report()
    assert cut.table() == at_once.table()


@pytest.mark.parametrize("task", TASKS)
def test_report_changes_nothing_and_is_json_without_nan(task):
    progressive = Progressive(task)
    json.dumps(progressive.report(), allow_nan=False)
    feed(progressive, stream(task, 1500))
    before = progressive.state()
    report = progressive.report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert progressive.state() == before


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rows", [0, 1, 1_023, 1_024, 1_025, 3_000])
def test_the_counts_alone_are_those_of_the_report(task, rows):
    progressive = Progressive(task, window=100)
    feed(progressive, stream(task, rows))
    total = progressive.report()["total"]
    assert progressive.counts() == {name: total[name] for name in progressive.counts()}
    assert progressive.counts()["examples"] == rows


@pytest.mark.parametrize("task", GUARD_METRICS)
def test_the_window_of_a_task_has_what_may_guard_it_and_nothing_else_that_may_guard(task):
    figures = Progressive(task).report()["window"]
    known = {metric for metrics in GUARD_METRICS.values() for metric in metrics}
    assert known & figures.keys() == set(GUARD_METRICS[task])


@pytest.mark.parametrize("task", TASKS)
def test_report_before_the_first_label_has_counts_and_no_figures(task):
    columns = stream(task, 10, unlabelled=1.1)
    total = feed(Progressive(task), columns).report()["total"]
    assert (total["examples"], total["labelled"], total["average_loss"]) == (10, 0, None)
    assert total["weighted_examples"] == math.fsum(columns[3])
    assert total.get("accuracy") is None
    assert total.get("rmse") is None


def test_counts_and_sums_are_added_up_row_by_row():
    columns = stream("regression", 3000)
    loss = labelled = unlabelled = label_sum = 0.0
    for label, weight, row_loss in zip(columns[0], columns[3], columns[4], strict=True):
        if math.isnan(label):
            unlabelled += weight
        else:
            loss, labelled, label_sum = loss + row_loss, labelled + weight, label_sum + label * weight
    total = feed(Progressive("regression"), columns).report()["total"]
    assert total["average_loss"] == loss / labelled
    assert total["weighted_labelled"] == labelled
    assert total["weighted_examples"] == labelled + unlabelled
    assert total["weighted_label_sum"] == label_sum


@pytest.mark.parametrize("task", TASKS)
def test_window_and_fading_average_loss_equal_a_slow_loop(task):
    columns = stream(task, 2500)
    kept = [(w, x) for label, w, x in zip(columns[0], columns[3], columns[4], strict=True) if not math.isnan(label)]
    weight = loss = 0.0
    for row_weight, row_loss in kept:
        weight, loss = 0.99 * weight + row_weight, 0.99 * loss + row_loss
    report = feed(Progressive(task, window=300, fading=0.99), columns).report()
    last = np.array(kept[-300:]).sum(axis=0)
    assert report["window"]["labelled"] == 300
    assert report["window"]["average_loss"] == pytest.approx(last[1] / last[0], rel=1e-12)
    assert report["fading"]["average_loss"] == pytest.approx(loss / weight, rel=1e-12)
    assert report["fading"]["weighted_labelled"] == pytest.approx(weight, rel=1e-12)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("value", [1e300, -1e300, 5e-324, 0.0])
def test_huge_and_denormal_numbers_neither_warn_nor_spoil_the_stream(task, value):
    columns = [column if column is None else column.copy() for column in stream(task, 3000)]
    for column in columns:
        if column is not None:
            column[5] = column[1030] = value
    report = feed(Progressive(task), columns, range(0, 3000, 128)).report()
    json.dumps(report, allow_nan=False)
    assert report["window"]["average_loss"] is not None


def test_an_endless_binary_stream_keeps_its_state_below_100_kilobytes():
    progressive = Progressive("binary")
    rng = np.random.default_rng(0)
    for _ in range(100):
        logits = rng.normal(-1.0, 3.0, 3001)
        probabilities = 1.0 / (1.0 + np.exp(-logits))
        labels = (rng.random(3001) < probabilities) * 1.0
        progressive.update(labels, logits, probabilities, np.ones(3001), rng.random(3001))
        assert len(progressive.state()) < 100_000


def test_columns_that_do_not_fit_together_are_refused_and_nothing_is_appended():
    progressive = Progressive("binary")
    before, one, two = progressive.state(), np.ones(1), np.ones(2)
    with pytest.raises(
        ProgressiveError, match=r"columns differ in length: 2 labels, 2 predictions, 2 prob.*, 1 weights"
    ):
        progressive.update(two, two, two, one, two)
    with pytest.raises(ProgressiveError, match="probabilities"):
        progressive.update(one, one, None, one, one)
    assert progressive.state() == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"task": "ranking"}, "task"),
        ({"task": "binary", "window": 0}, "window"),
        ({"task": "binary", "fading": 0.0}, "fading"),
        ({"task": "binary", "progress": "often"}, "progress"),
        ({"task": "binary", "progress": "-1"}, "progress"),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments, named):
    with pytest.raises(ProgressiveError, match=named):
        Progressive(**arguments)


@pytest.mark.parametrize("named", ["task", "window", "fading", "progress"])
def test_a_state_of_other_arguments_is_refused_by_name(named):
    other = {"task": "bandit", "window": 10, "fading": 0.5, "progress": "10"}[named]
    state = Progressive(**({"task": "binary"} | {named: other})).state()
    with pytest.raises(ValueError, match=f"{named}: expected .*, got {other!r}"):
        Progressive("binary").restore(state)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_state_is_refused_or_taken_whole_but_never_half(task, data):
    state = bytearray(feed(Progressive(task, window=5), stream(task, 1100)).state())
    place = data.draw(st.integers(0, len(state) - 1))
    damaged = data.draw(
        st.sampled_from([bytes(state[:place]), bytes(state[:place]) + b"\xc1" + bytes(state[place + 1 :])])
    )
    progressive = feed(Progressive(task, window=5), stream(task, 20))
    before = progressive.state()
    try:
        progressive.restore(damaged)
    except ProgressiveError:
        assert progressive.state() == before
    else:
        assert progressive.state() != before


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("version", 2, "version"),
        ("pending", b"abc", "pending"),
        ("pending", bytes(8 * 5 * 1024), "pending"),
        ("kept", bytes(8 * 5 * 1001), "window"),
        ("kept", b"abc", "window"),
        ("scores", b"abc", "progressive state"),
    ],
)
def test_a_part_of_the_state_that_does_not_fit_is_named(field, value, named):
    state = msgspec.msgpack.decode(Progressive("binary").state(), type=_State)
    with pytest.raises(ProgressiveError, match=named):
        Progressive("binary").restore(msgspec.msgpack.encode(msgspec.structs.replace(state, **{field: value})))
