"""Binary figures: equal to scikit-learn's, baselines to a slow loop's."""

import math

import numpy as np
import pytest
from sklearn import metrics

from stream_app.progressive import Progressive

EXACT = {"rel": 1e-9, "abs": 1e-15}


def rows_of(count, seed=0, decimals=3):
    """Labels, probabilities (with ties) and weights."""
    rng = np.random.default_rng(seed)
    probabilities = np.round(rng.random(count), decimals)
    labels = np.where(rng.random(count) < probabilities, 1.0, -1.0)
    return labels, probabilities, rng.choice([0.25, 1.0, 3.0], count)


def report_of(labels, probabilities, weights, **arguments):
    progressive = Progressive("binary", **arguments)
    progressive.update(labels, probabilities, probabilities, weights, weights * 0.5)
    return progressive.report()


def oracle(labels, probabilities, weights):
    """The same figures from scikit-learn."""
    actual, predicted, weighted = labels > 0, probabilities >= 0.5, {"sample_weight": weights}
    zero = weighted | {"zero_division": 0.0}
    figures = {
        "log_loss": metrics.log_loss(actual, probabilities, labels=[False, True], **weighted),
        "accuracy": metrics.accuracy_score(actual, predicted, **weighted),
        "precision": metrics.precision_score(actual, predicted, **zero),
        "recall": metrics.recall_score(actual, predicted, **zero),
        "f1": metrics.f1_score(actual, predicted, **zero),
        "brier": float(np.average((probabilities - actual) ** 2, weights=weights)),
    }
    if len(set(actual)) == 2:
        figures["brier"] = metrics.brier_score_loss(actual, probabilities, **weighted)
        figures["roc_auc"] = metrics.roc_auc_score(actual, probabilities, **weighted)
    return figures


ONE, NONE = np.ones(50), np.zeros(50)
CASES = {
    "random": rows_of(900),
    "one row": (np.array([1.0]), np.array([0.7]), np.array([2.0])),
    "only positives": (ONE, np.linspace(0, 1, 50), ONE),
    "only negatives": (-ONE, np.linspace(0, 1, 50), ONE),
    "labels 0 and 1": (np.arange(50) % 2 * 1.0, np.linspace(0, 1, 50), ONE),
    "all ties": (np.arange(50) % 2 * 2.0 - 1.0, ONE * 0.5, ONE),
    "nothing predicted positive": (np.arange(50) % 2 * 1.0, NONE, ONE),
    "certain and wrong": (np.arange(50) % 2 * 1.0, (np.arange(50) + 1) % 2 * 1.0, ONE),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("part", ["total", "window"])
def test_figures_equal_scikit_learn(name, part):
    figures = report_of(*CASES[name])[part]
    for figure, value in oracle(*CASES[name]).items():
        assert figures[figure] == pytest.approx(value, **EXACT), figure


def test_total_and_window_figures_of_a_long_stream_equal_scikit_learn():
    columns = rows_of(20_000)
    report = report_of(*columns)
    total, window = oracle(*columns), oracle(*(column[-1000:] for column in columns))
    area = total.pop("roc_auc")
    assert {name: report["total"][name] for name in total} == pytest.approx(total, **EXACT)
    assert {name: report["window"][name] for name in window} == pytest.approx(window, **EXACT)
    assert abs(report["total"]["roc_auc"] - area) <= min(1e-4, report["total"]["roc_auc_error"])


def test_fading_figures_equal_scikit_learn_with_fading_weights():
    labels, probabilities, weights = rows_of(5000)
    faded = oracle(labels, probabilities, weights * 0.995 ** np.arange(4999, -1, -1))
    del faded["roc_auc"]
    figures = report_of(labels, probabilities, weights, fading=0.995)["fading"]
    assert {name: figures[name] for name in faded} == pytest.approx(faded, **EXACT)


def test_auc_of_one_kind_of_label_is_undefined():
    report = report_of(*CASES["only positives"])
    assert report["total"]["roc_auc"] is report["window"]["roc_auc"] is None


@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (-3, 2), (0, 8), (-5, 0.3), (0, 0.02), (-12, 4)])
@pytest.mark.parametrize("rows", [3000, 200_000])
def test_histogram_auc_is_off_by_less_than_its_bound_and_by_less_than_1e_4(mean, spread, rows):
    rng = np.random.default_rng(1)
    probabilities = 1.0 / (1.0 + np.exp(-rng.normal(mean, spread, rows)))
    labels = (rng.random(rows) < 1.0 / (1.0 + np.exp(-rng.normal(0, 1, rows)))) * 1.0
    labels[: rows // 4] = probabilities[: rows // 4] > np.median(probabilities)
    weights = rng.choice([1.0, 2.5], rows)
    figures = report_of(labels, probabilities, weights)["total"]
    error = abs(figures["roc_auc"] - metrics.roc_auc_score(labels, probabilities, sample_weight=weights))
    assert error <= min(1e-4, figures["roc_auc_error"] + 1e-12)


def test_confusion_cells_equal_scikit_learn():
    labels, probabilities, weights = rows_of(3000)
    actual, predicted = labels > 0, probabilities >= 0.5
    counts = metrics.confusion_matrix(actual, predicted)
    weighted = metrics.confusion_matrix(actual, predicted, sample_weight=weights)
    names = {"negative": 0, "positive": 1}
    cells = report_of(labels, probabilities, weights)["total"]["confusion"]
    assert len(cells) == 4
    for cell in cells:
        place = names[cell["actual"]], names[cell["predicted"]]
        assert (cell["count"], cell["weight"]) == (counts[place], weighted[place])


def test_calibration_bins_equal_a_slow_loop():
    labels, probabilities, weights = rows_of(3000, decimals=17)
    calibration = report_of(labels, probabilities, weights)["total"]["calibration"]
    error = 0.0
    for index, cell in enumerate(calibration["bins"]):
        inside = (probabilities >= index / 10) & (probabilities < (index + 1) / 10)
        mean = np.average(probabilities[inside], weights=weights[inside])
        rate = np.average(labels[inside] > 0, weights=weights[inside])
        error += abs(mean - rate) * weights[inside].sum() / weights.sum()
        assert cell["count"] == inside.sum()
        assert (cell["mean_predicted"], cell["observed_rate"]) == pytest.approx((mean, rate), **EXACT)
    assert calibration["expected_error"] == pytest.approx(error, **EXACT)


def slow_baselines(labels, weights):
    """What the baselines say before each row, one row after the other."""
    negative = positive = 0.0
    last, said = False, []
    for label, weight in zip(labels, weights, strict=True):
        said.append((positive > negative, last, (positive + 0.5) / (positive + negative + 1.0)))
        last = label > 0
        positive, negative = positive + weight * last, negative + weight * (not last)
    return (np.array(column) for column in zip(*said, strict=True))


def test_baselines_equal_a_slow_loop_in_total_window_and_fading():
    labels, probabilities, weights = rows_of(2500)
    majority, last, constant = slow_baselines(labels, weights)
    report = report_of(labels, probabilities, weights, fading=0.99)
    faded = weights * 0.99 ** np.arange(2499, -1, -1)
    for part, used in (("total", weights), ("fading", faded), ("window", np.where(np.arange(2500) < 1500, 0, weights))):
        actual, used = (labels > 0)[used > 0], used[used > 0]
        kept = slice(-len(used), None)
        expected = {
            "majority": {"accuracy": np.average(majority[kept] == actual, weights=used)},
            "no_change": {"accuracy": np.average(last[kept] == actual, weights=used)},
            "constant": {
                "accuracy": np.average((constant[kept] >= 0.5) == actual, weights=used),
                "log_loss": metrics.log_loss(actual, constant[kept], sample_weight=used),
            },
        }
        for name, figures in expected.items():
            assert report[part]["baselines"][name] == pytest.approx(figures, **EXACT), (part, name)


def test_a_learner_is_beaten_by_the_baselines_that_do_better_over_the_window():
    labels = np.repeat([1.0, -1.0], 250)
    always_wrong = np.where(labels > 0, 0.2, 0.8)
    assert report_of(labels, always_wrong, np.ones(500))["beaten_by"] == ["majority", "no_change", "constant"]
    sometimes_wrong = np.where(np.arange(500) % 50, 1.0 - always_wrong, always_wrong)
    assert report_of(labels, sometimes_wrong, np.ones(500))["beaten_by"] == ["no_change"]


def test_probabilities_outside_of_zero_and_one_count_as_zero_or_one():
    labels = np.array([1.0, -1.0, 1.0])
    wild, tame = np.array([7.0, -3.0, math.nan]), np.array([1.0, 0.0, 0.0])
    assert report_of(labels, wild, np.ones(3))["total"] == report_of(labels, tame, np.ones(3))["total"]
