"""Curves: points of scikit-learn's own, exact over the window, within a bin of the histogram over the whole stream."""

import json

import numpy as np
import pytest
from sklearn import metrics
from test_progressive import TASKS, feed, stream

from stream_app.progressive import Progressive


def binary(rows, seed=0, decimals=2, **arguments):
    """A report of curves, and the rows that it is of."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random(rows) ** 2
    if decimals is not None:
        probabilities = np.round(probabilities, decimals)
    labels = np.where(rng.random(rows) < probabilities, 1.0, -1.0)
    weights = rng.choice([0.25, 1.0, 3.0], rows)
    progressive = Progressive("binary", **arguments)
    progressive.update(labels, probabilities, probabilities, weights, weights)
    return progressive.curves(), labels > 0, probabilities, weights


def areas(curves):
    roc = np.array([(point["false_positive_rate"], point["recall"]) for point in curves["roc"]])
    return float(np.trapezoid(roc[:, 1], roc[:, 0]))


@pytest.mark.parametrize("decimals", [1, 2, None])
def test_every_point_over_the_window_is_one_of_scikit_learns(decimals):
    curves, actual, probabilities, weights = binary(2500, decimals=decimals)
    actual, probabilities, weights = actual[-1000:], probabilities[-1000:], weights[-1000:]
    window = curves["window"]
    false, recall, thresholds = metrics.roc_curve(actual, probabilities, sample_weight=weights, drop_intermediate=False)
    theirs = {threshold: (x, y) for threshold, x, y in zip(thresholds, false, recall, strict=True)}
    assert len(window["roc"]) <= 101
    assert (window["roc"][0]["false_positive_rate"], window["roc"][0]["recall"]) == (0.0, 0.0)
    assert (window["roc"][-1]["false_positive_rate"], window["roc"][-1]["recall"]) == (1.0, 1.0)
    for point in window["roc"][1:]:
        ours = point["false_positive_rate"], point["recall"]
        assert ours == pytest.approx(theirs[point["threshold"]], rel=1e-12)
    precision, recall, thresholds = metrics.precision_recall_curve(actual, probabilities, sample_weight=weights)
    theirs = {threshold: (x, y) for threshold, x, y in zip(thresholds, recall, precision, strict=False)}
    assert len(window["precision_recall"]) <= 101
    for point in window["precision_recall"]:
        assert (point["recall"], point["precision"]) == pytest.approx(theirs[point["threshold"]], rel=1e-12)
    assert areas(window) == pytest.approx(metrics.roc_auc_score(actual, probabilities, sample_weight=weights), abs=1e-3)


def test_points_over_the_whole_stream_are_scikit_learns_to_the_width_of_a_bin():
    curves, actual, probabilities, weights = binary(20_000, decimals=None)
    total = curves["total"]
    assert len(total["roc"]) <= 101
    for point in total["roc"][1:]:
        reached = probabilities >= point["threshold"] - 1e-9
        for name, kind in (("recall", actual), ("false_positive_rate", ~actual)):
            assert point[name] == pytest.approx(weights[reached & kind].sum() / weights[kind].sum(), abs=1e-9)
    for point in total["precision_recall"]:
        reached = probabilities >= point["threshold"] - 1e-9
        precision = metrics.precision_score(actual, reached, sample_weight=weights)
        assert point["precision"] == pytest.approx(precision, abs=1e-9)
    assert areas(total) == pytest.approx(metrics.roc_auc_score(actual, probabilities, sample_weight=weights), abs=1e-3)


def test_scores_are_the_weights_of_both_kinds_in_20_bins():
    curves, actual, probabilities, weights = binary(5000, decimals=None)
    edges = np.arange(21) / 20
    for part, rows, error in (("window", slice(-1000, None), 1e-9), ("total", slice(None), 0.003 * weights.sum())):
        for kind, wanted in (("positive", actual), ("negative", ~actual)):
            chosen = wanted[rows]
            expected, _ = np.histogram(probabilities[rows][chosen], edges, weights=weights[rows][chosen])
            found = [one[kind] for one in curves[part]["scores"]]
            assert found == pytest.approx(expected.tolist(), abs=error)
            assert sum(found) == pytest.approx(weights[rows][chosen].sum())


def test_the_total_is_exact_while_all_rows_are_in_the_window():
    curves, *_ = binary(900)
    assert {**curves["window"], **curves["total"]} == curves["window"]


def test_calibration_is_that_of_the_report():
    progressive = feed(Progressive("binary"), stream("binary", 3000))
    report, curves = progressive.report(), progressive.curves()
    for part in ("total", "window"):
        assert curves[part]["calibration"] == report[part]["calibration"]


def test_a_curve_has_no_points_while_one_of_the_two_kinds_is_missing():
    progressive = Progressive("binary")
    one = np.ones(5)
    progressive.update(one, one * 0.5, one * 0.5, one, one)
    window = progressive.curves()["window"]
    assert (window["roc"], window["precision_recall"]) == ([], [])
    assert window["scores"][10] == {"from": 0.5, "to": 0.55, "positive": 5.0, "negative": 0.0}


def test_classes_have_confusions_and_numbers_have_distributions():
    progressive = feed(Progressive("multiclass"), stream("multiclass", 3000))
    for part in ("total", "window"):
        assert progressive.curves()[part]["confusion"] == progressive.report()[part]["confusion"]
    columns = stream("regression", 3000, unlabelled=0.0)
    curves = feed(Progressive("regression", window=500), columns).curves()
    assert curves["total"] == {}
    labels, weights = columns[0][-500:], columns[3][-500:]
    expected, edges = np.histogram(labels, 20, weights=weights)
    assert [one["weight"] for one in curves["window"]["labels"]] == pytest.approx(expected.tolist())
    assert curves["window"]["labels"][-1]["to"] == pytest.approx(edges[-1])
    total = sum(one["weight"] for one in curves["window"]["errors"])
    assert total == pytest.approx(weights.sum())


@pytest.mark.parametrize("task", TASKS)
def test_curves_change_nothing_and_are_json_without_nan(task):
    progressive = Progressive(task)
    huge = [None if column is None else column * 1e150 for column in stream(task, 9)]
    for columns in (stream(task, 0), stream(task, 1500), huge):
        feed(progressive, columns)
        before = progressive.state()
        curves = progressive.curves()
        assert json.loads(json.dumps(curves, allow_nan=False)) == curves
        assert progressive.state() == before
