"""Regression figures: equal to scikit-learn's, baselines to a slow loop's."""

import numpy as np
import pytest
from sklearn import metrics

from stream_app.progressive import Progressive

EXACT = {"rel": 1e-9, "abs": 1e-300}


def rows_of(count, offset=0.0, seed=0):
    """Labels, predictions and weights."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(offset, 2.0, count)
    return labels, labels + rng.normal(0.1, 1.0, count), rng.choice([0.25, 1.0, 3.0], count)


def report_of(labels, predictions, weights, **arguments):
    progressive = Progressive("regression", **arguments)
    progressive.update(labels, predictions, None, weights, weights * 0.5)
    return progressive.report()


def oracle(labels, predictions, weights):
    """The same figures from scikit-learn."""
    figures = {
        "rmse": metrics.root_mean_squared_error(labels, predictions, sample_weight=weights),
        "mae": metrics.mean_absolute_error(labels, predictions, sample_weight=weights),
        "bias": float(np.average(predictions - labels, weights=weights)),
    }
    if len(labels) > 1:
        figures["r2"] = metrics.r2_score(labels, predictions, sample_weight=weights)
    return figures


CASES = {
    "random": rows_of(900),
    "one row": rows_of(1),
    "two rows": rows_of(2),
    "perfect": (*rows_of(50)[:1], rows_of(50)[0], np.ones(50)),
    "constant labels": (np.full(50, 0.5), rows_of(50)[1], np.ones(50)),
    "constant labels, perfect": (np.full(50, 0.1), np.full(50, 0.1), np.ones(50)),
    "denormal": (rows_of(50)[0] * 1e-310, rows_of(50)[1] * 1e-310, np.ones(50)),
    "large": (rows_of(50)[0] * 1e100, rows_of(50)[1] * 1e100, np.ones(50)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("part", ["total", "window"])
def test_figures_equal_scikit_learn(name, part):
    figures = report_of(*CASES[name])[part]
    for figure, value in oracle(*CASES[name]).items():
        assert figures[figure] == pytest.approx(value, **EXACT), figure


def test_r2_of_one_row_is_undefined():
    assert report_of(*rows_of(1))["total"]["r2"] is None


def test_total_window_and_fading_figures_of_a_long_stream_equal_scikit_learn():
    labels, predictions, weights = rows_of(20_000)
    report = report_of(labels, predictions, weights, fading=0.995)
    expected = {
        "total": oracle(labels, predictions, weights),
        "window": oracle(labels[-1000:], predictions[-1000:], weights[-1000:]),
        "fading": oracle(labels, predictions, weights * 0.995 ** np.arange(19_999, -1, -1)),
    }
    for part, figures in expected.items():
        assert {name: report[part][name] for name in figures} == pytest.approx(figures, **EXACT), part


def test_r2_keeps_its_digits_where_labels_are_far_from_zero():
    labels, predictions, weights = rows_of(20_000, offset=2.0**40)
    report = report_of(labels, predictions, weights)["total"]
    near_zero = labels - 2.0**40, predictions - 2.0**40  # exact, and scikit-learn itself loses digits without
    assert report["r2"] == pytest.approx(metrics.r2_score(*near_zero, sample_weight=weights), rel=1e-9)


def test_constant_labels_over_many_blocks_leave_no_variance_behind():
    labels, predictions = np.full(5000, 0.1), np.full(5000, 0.2)
    assert report_of(labels, predictions, np.ones(5000))["total"]["r2"] == 0.0
    assert report_of(labels, labels, np.ones(5000))["total"]["r2"] == 1.0


def slow_baselines(labels, weights):
    """What the baselines say before each row, one row after the other."""
    weight = total = last = 0.0
    said = []
    for label, row_weight in zip(labels, weights, strict=True):
        said.append((total / weight if weight else 0.0, last))
        weight, total, last = weight + row_weight, total + row_weight * label, label
    return (np.array(column) for column in zip(*said, strict=True))


@pytest.mark.parametrize("part", ["total", "window", "fading"])
def test_baselines_equal_a_slow_loop(part):
    labels, predictions, weights = rows_of(2500, offset=3.0)
    weights[0] = 0.0
    used = {
        "total": weights,
        "window": np.where(np.arange(2500) < 1500, 0.0, weights),
        "fading": weights * 0.99 ** np.arange(2499, -1, -1),
    }[part]
    baselines = report_of(labels, predictions, weights, fading=0.99)[part]["baselines"]
    for name, said in zip(("constant", "no_change"), slow_baselines(labels, weights), strict=True):
        expected = oracle(labels, said, used)
        assert baselines[name] == pytest.approx({"rmse": expected["rmse"], "mae": expected["mae"]}, **EXACT)


def test_a_learner_worse_than_the_mean_is_beaten_by_it():
    labels, _, weights = rows_of(500)
    assert report_of(labels, labels + 2.5, weights)["beaten_by"] == ["constant"]
    assert report_of(labels, labels, weights)["beaten_by"] == []
