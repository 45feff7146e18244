"""Value: money by cells, counted progressively; equal to a slow loop, and a function of the rows alone."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app import config
from stream_app.decisions import codes_of
from stream_app.money import money_of
from stream_app.progressive import ProgressiveError
from stream_app.settings import ConfigError
from stream_app.value import Value

FLIGHTS = {("NO", "NO"): 700.0, ("NO", "YES"): -500.0, ("YES", "NO"): -100.0, ("YES", "YES"): 700.0}


def tree_of(cells, task="binary", **value):
    named = [{"actual": actual, "predicted": predicted, "value": each} for (actual, predicted), each in cells.items()]
    labels = {"NO": -1, "YES": 1} if ("NO", "NO") in cells else {}
    return {"model": {"task": task}, "schema": {"labels": labels}, "value": {"cells": named, **value}}


def money(cells=FLIGHTS, **value):
    return money_of(config.of(tree_of(cells, **value)))


def columns_of(rows, seed, unlabelled=0.1):
    """Labels and probabilities, half of which lie exactly on the grid of thresholds."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random(rows)
    probabilities = np.where(rng.random(rows) < 0.5, np.round(probabilities, 3), probabilities)
    labels = np.where(rng.random(rows) < probabilities, 1.0, -1.0)
    return np.where(rng.random(rows) < unlabelled, np.nan, labels), probabilities


def feed(value, labels, probabilities, cuts=()):
    for start, stop in pairwise(sorted({0, len(labels), *cuts})):
        value.update(labels[start:stop], probabilities[start:stop])
    return value


def earned(labels, probabilities, threshold, cells=FLIGHTS):
    """By the names of the cells, row by row; a threshold of None is never reached."""
    total = 0.0
    for label, probability in zip(labels, probabilities, strict=True):
        if not math.isnan(label):
            is_yes = threshold is not None and probability >= threshold
            total += cells["YES" if label > 0 else "NO", "YES" if is_yes else "NO"]
    return total


def slow_best(labels, probabilities, cells, configured):
    """Every threshold tried on these rows, one after the other."""
    actual = labels[~np.isnan(labels)] > 0
    predicted = probabilities[~np.isnan(labels)]
    paid = []
    for threshold in [*(step / 1000 for step in range(1000)), math.inf]:
        yes = predicted >= threshold
        counts = {("NO", "NO"): ~actual & ~yes, ("NO", "YES"): ~actual & yes, ("YES", "NO"): actual & ~yes}
        counts["YES", "YES"] = actual & yes
        paid.append(sum(cells[name] * int(rows.sum()) for name, rows in counts.items()))
    most = [step for step, sum_ in enumerate(paid) if sum_ == max(paid)]
    step = min(most, key=lambda step: (abs(step - round(configured * 1000)), step))
    return None if step == 1000 else step / 1000


def slow_progressive(labels, probabilities, cells, configured):
    """Each block of 1,024 decided by what paid best on all rows before it."""
    total = 0.0
    for first in range(0, len(labels), 1024):
        threshold = slow_best(labels[:first], probabilities[:first], cells, configured)
        block = slice(first, first + 1024)
        total += earned(labels[block], probabilities[block], threshold, cells)
    return total


def test_the_cells_of_the_airline_example_are_worth_4_738_300():
    counts = {("NO", "NO"): 3768, ("NO", "YES"): 3178, ("YES", "NO"): 2009, ("YES", "YES"): 5558}
    value = Value(money())
    for (actual, predicted), count in counts.items():
        label, probability = 1.0 if actual == "YES" else -1.0, 0.9 if predicted == "YES" else 0.1
        value.update(np.full(count, label), np.full(count, probability))
    total = value.report()["total"]
    assert total["value"] == value.total == value.brief()["total"] == 4_738_300.0
    assert {(cell["actual"], cell["predicted"]): cell["count"] for cell in total["cells"]} == counts
    assert total["count"] == sum(counts.values())
    assert total["per_1000"] == 1000 * 4_738_300.0 / 14_513
    assert total["always_yes"] == 700 * 7567 - 500 * 6946
    assert total["always_no"] == 700 * 6946 - 100 * 7567
    assert total["over_better"] == 4_738_300.0 - (700 * 6946 - 100 * 7567)


def test_the_order_in_which_cells_are_configured_changes_nothing():
    turned = dict(reversed(FLIGHTS.items()))
    columns = columns_of(3000, 1)
    assert feed(Value(money(turned)), *columns).report() == feed(Value(money()), *columns).report()


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(0, 3500),
    seed=st.integers(0, 99),
    each=st.lists(st.integers(-8, 8).map(lambda quarters: quarters / 4), min_size=4, max_size=4),
    threshold=st.integers(0, 999).map(lambda step: step / 1000),
    window=st.sampled_from([1, 7, 1000, 1500]),
)
def test_every_figure_equals_a_slow_loop(rows, seed, each, threshold, window):
    cells = dict(zip(FLIGHTS, each, strict=True))
    labels, probabilities = columns_of(rows, seed)
    report = feed(Value(money(cells, threshold=threshold), window), labels, probabilities, range(0, rows, 128)).report()
    kept = np.flatnonzero(~np.isnan(labels))[-window:]
    for part, places in (("total", np.arange(rows)), ("window", kept)):
        chosen = labels[places], probabilities[places]
        assert report[part]["value"] == earned(*chosen, threshold, cells)
        assert report[part]["always_yes"] == earned(*chosen, 0.0, cells)
        assert report[part]["always_no"] == earned(*chosen, None, cells)
        assert report[part]["count"] == np.count_nonzero(~np.isnan(chosen[0]))
    found = slow_best(labels, probabilities, cells, threshold)
    assert report["hindsight"]["threshold"] == found
    assert report["hindsight"]["value"] == earned(labels, probabilities, found, cells)
    assert report["progressive"]["value"] == slow_progressive(labels, probabilities, cells, threshold)
    gained = report["progressive"]["value"] - report["total"]["value"]
    assert report["progressive"]["over_configured"] == gained


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_state_depends_on_the_rows_and_not_on_batches_or_restarts(data):
    rows = data.draw(st.integers(1, 2600), "rows")
    columns = columns_of(rows, data.draw(st.integers(0, 99), "seed"))
    cuts = data.draw(st.lists(st.integers(1, rows), max_size=12), "cuts")
    window = data.draw(st.sampled_from([1, 7, 1000, 1500]), "window")
    at_once = feed(Value(money(), window), *columns)
    cut = Value(money(), window)
    for start, stop in pairwise(sorted({0, rows, *cuts})):
        feed(cut, *(column[start:stop] for column in columns))
        if data.draw(st.booleans(), "restart"):
            state = cut.state()
            cut = Value(money(), window)
            cut.restore(state)
            assert cut.state() == state
    assert cut.state() == at_once.state()
    assert cut.report() == at_once.report()


def test_the_progressive_threshold_sees_no_label_of_its_own_block():
    labels, probabilities = columns_of(2048, 3, unlabelled=0.0)
    turned = np.concatenate([labels[:1024], -labels[1024:]])
    before = feed(Value(money()), labels[:1024], probabilities[:1024]).report()["progressive"]["threshold"]
    for last in (labels, turned):
        value = feed(Value(money()), last[:2047], probabilities[:2047])
        assert value.report()["progressive"]["threshold"] == before


def test_other_money_gives_other_sums_of_the_same_past_and_a_threshold_that_begins_anew():
    labels, probabilities = columns_of(5000, 2)
    other = {**FLIGHTS, ("YES", "NO"): -900.0}
    old = feed(Value(money()), labels[:3000], probabilities[:3000])
    new = Value(money(other, currency="EUR"))
    new.restore(old.state())
    feed(new, labels[3000:], probabilities[3000:])
    always = feed(Value(money(other, currency="EUR")), labels, probabilities)
    for part in ("currency", "total", "window", "hindsight"):
        assert new.report()[part] == always.report()[part]
    folded = np.count_nonzero(~np.isnan(labels[:2048]))
    progressive = new.report()["progressive"]
    assert progressive["since"] == folded
    assert progressive["count"] == np.count_nonzero(~np.isnan(labels[2048:]))
    expected = slow_progressive(labels, probabilities, other, 0.5)
    expected -= slow_progressive(labels[:2048], probabilities[:2048], other, 0.5)
    assert progressive["value"] == expected
    assert progressive["over_configured"] == expected - earned(labels[2048:], probabilities[2048:], 0.5, other)


def test_another_currency_changes_no_figure():
    columns = columns_of(3000, 2)
    old, new = feed(Value(money()), *columns), Value(money(currency="EUR"))
    new.restore(old.state())
    assert new.report() == {**old.report(), "currency": "EUR"}


def test_without_any_example_there_are_sums_and_no_ratios():
    report = Value(money()).report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["total"]["value"] == 0.0
    assert report["total"]["per_1000"] is None
    assert report["progressive"]["threshold"] == 0.5


def test_probabilities_outside_of_zero_and_one_count_as_zero_or_one():
    labels = np.array([1.0, -1.0, 1.0])
    wild = feed(Value(money()), labels, np.array([7.0, -3.0, math.nan])).report()
    tame = feed(Value(money()), labels, np.array([1.0, 0.0, 0.0])).report()
    assert wild == tame
    assert tame["total"]["value"] == 700 + 700 - 100


def test_a_probability_reaches_a_threshold_exactly_where_its_step_does():
    grid = np.arange(1000) / 1000
    for probabilities in (grid, np.nextafter(grid, 0.0), np.nextafter(grid, 1.0), np.ones(1000)):
        expected = np.searchsorted(grid, probabilities, side="right") - 1
        assert codes_of(np.full(1000, -1.0), probabilities).tolist() == expected.tolist()


def test_where_no_always_pays_best_the_threshold_is_never_reached():
    labels, probabilities = np.full(2000, -1.0), np.ones(2000)
    report = feed(Value(money()), labels, probabilities).report()
    assert report["hindsight"] == {"threshold": None, "value": 1_400_000.0, "per_1000": 700_000.0}
    assert report["progressive"]["threshold"] is None


def test_a_state_that_is_damaged_is_refused_and_nothing_changes():
    value = feed(Value(money()), *columns_of(1500, 1))
    before = value.state()
    for state in (b"", b"\xff", before[:-3], before.replace(b"\xa7pending", b"\xa7pendinh")):
        with pytest.raises(ProgressiveError, match="value state"):
            value.restore(state)
    with pytest.raises(ProgressiveError, match="window: 571 rows, expected at most 7"):
        Value(money(), window=7).restore(before)
    assert value.state() == before


def test_an_endless_stream_keeps_its_state_below_50_kilobytes():
    value = Value(money())
    for seed in range(60):
        feed(value, *columns_of(3001, seed))
    assert len(value.state()) < 50_000


PLAIN = {("negative", "negative"): 1.0, ("negative", 1): -2.0, (False, "0"): 3.0, (True, "true"): 4.0}


def test_cells_may_be_named_as_positive_and_negative_or_numbers_or_booleans():
    cells = {("negative", 0): 1.0, (False, "positive"): -2.0, ("1", -1): 3.0, (True, 1.0): 4.0}
    value = feed(Value(money(cells)), np.array([-1.0, -1.0, 1.0, 1.0]), np.array([0.1, 0.9, 0.1, 0.9]))
    found = {(cell["actual"], cell["predicted"]): cell["value"] for cell in value.report()["total"]["cells"]}
    assert found == {("negative", "0"): 1.0, ("false", "positive"): -2.0, ("1", "-1"): 3.0, ("true", "1"): 4.0}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (tree_of({**FLIGHTS} | {("NO", "MAYBE"): 1.0}), r"value.cells\[4\].predicted: 'MAYBE' is no label.*NO.*YES"),
        (tree_of(PLAIN), r"value.cells\[2\]: actual 'false', predicted '0' is named a second time"),
        (tree_of(dict(list(FLIGHTS.items())[:3])), "all four must be named; missing: actual positive, predicted posit"),
        (tree_of({**FLIGHTS, ("YES", "YES"): math.inf}), r"value.cells\[3\].value: inf is not finite"),
        (tree_of(FLIGHTS, task="regression"), "value: a task 'regression' has no such cells"),
        (tree_of(FLIGHTS, threshold=0.5005), "value.threshold: 0.5005: expected 0 to 0.999 in steps of 0.001"),
        (tree_of(FLIGHTS, threshold=1.0), "value.threshold: 1.0"),
        (tree_of(FLIGHTS, threshold=math.nan), "value.threshold: nan"),
        (tree_of(FLIGHTS, currency=" "), "value.currency: it is empty"),
        ({"value": {"currency": "EUR"}}, "value.cells: required where something of"),
        ({"value": {"cells": [{"actual": 1, "value": 1.0}]}}, "value.cells.*predicted: required"),
    ],
)
def test_money_that_is_missing_double_or_unknown_is_named(tree, said):
    with pytest.raises(ConfigError, match=said):
        config.of(tree)


def test_the_environment_can_set_the_money():
    cells = ", ".join(f'{{actual = "{a}", predicted = "{p}", value = {each}}}' for (a, p), each in FLIGHTS.items())
    environment = {
        "WEIR_SCHEMA_LABELS": "{NO = -1, YES = 1}",
        "WEIR_VALUE_CELLS": f"[{cells}]",
        "WEIR_VALUE_CURRENCY": "EUR",
        "WEIR_VALUE_THRESHOLD": "0.25",
    }
    found = config.load(None, environment)
    assert money_of(found) == money(currency="EUR", threshold=0.25)
    with pytest.raises(ConfigError, match=r"value\.cells: expected `array`, got `str`"):
        config.load(None, {"WEIR_VALUE_CELLS": "a lot"})
