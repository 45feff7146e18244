"""Multiclass figures: equal to scikit-learn's, baselines to a slow loop's, classes bounded."""

from collections import Counter

import numpy as np
import pytest
from sklearn import metrics

from stream_app.progressive import Progressive

EXACT = {"rel": 1e-9, "abs": 1e-15}


def rows_of(count, classes=7, seed=0):
    """Labels, predictions and weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, classes, count, endpoint=True) * 1.0
    predictions = np.where(rng.random(count) < 0.6, labels, rng.integers(1, classes + 1, count, endpoint=True))
    return labels, predictions, rng.choice([0.25, 1.0, 3.0], count)


def report_of(labels, predictions, weights, **arguments):
    progressive = Progressive("multiclass", **arguments)
    for start in range(0, len(labels), 128):
        rows = slice(start, start + 128)
        progressive.update(labels[rows], predictions[rows], None, weights[rows], weights[rows] * 0.5)
    return progressive.report()


def assert_equal_scikit_learn(figures, labels, predictions, weights):
    expected = metrics.classification_report(
        labels, predictions, sample_weight=weights, output_dict=True, zero_division=0.0
    )
    accuracy = metrics.accuracy_score(labels, predictions, sample_weight=weights)
    assert figures["accuracy"] == pytest.approx(accuracy, **EXACT)
    averages = {"macro": expected["macro avg"], "weighted": expected["weighted avg"]}
    for name, scores in averages.items():
        assert {**figures[name], "support": 0.0} == pytest.approx(
            {"f1": scores["f1-score"], "precision": scores["precision"], "recall": scores["recall"], "support": 0.0},
            **EXACT,
        )
    assert len(figures["classes"]) == len(set(labels) | set(predictions))
    for figures_of_class in figures["classes"]:
        scores = expected[str(float(figures_of_class["class"]))]
        assert [figures_of_class[name] for name in ("precision", "recall", "f1", "support")] == pytest.approx(
            [scores[name] for name in ("precision", "recall", "f1-score", "support")], **EXACT
        )


ONES = np.ones(20)
CASES = {
    "random": rows_of(900),
    "one row": rows_of(1),
    "one class": (ONES, ONES, ONES),
    "always wrong": (ONES, ONES * 2, ONES),
    "zero and negative classes": (np.arange(20) % 3 - 1.0, ONES * 0, ONES),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("part", ["total", "window"])
def test_figures_equal_scikit_learn(name, part):
    assert_equal_scikit_learn(report_of(*CASES[name])[part], *CASES[name])


def test_total_window_and_fading_figures_of_a_long_stream_equal_scikit_learn():
    labels, predictions, weights = rows_of(9000)
    report = report_of(labels, predictions, weights, fading=0.998)
    assert_equal_scikit_learn(report["total"], labels, predictions, weights)
    assert_equal_scikit_learn(report["window"], labels[-1000:], predictions[-1000:], weights[-1000:])
    faded = weights * 0.998 ** np.arange(8999, -1, -1)
    assert_equal_scikit_learn(report["fading"], labels, predictions, faded)


@pytest.mark.parametrize("part", ["total", "window"])
def test_confusion_cells_are_labelled_counts_and_weights(part):
    labels, predictions, weights = (column[-1000:] for column in rows_of(1000))
    counts = Counter(zip(labels, predictions, strict=True))
    cells = report_of(labels, predictions, weights)[part]["confusion"]
    assert {(cell["actual"], cell["predicted"]): cell["count"] for cell in cells} == counts
    for cell in cells:
        inside = (labels == cell["actual"]) & (predictions == cell["predicted"])
        assert cell["weight"] == pytest.approx(weights[inside].sum())


def slow_baselines(labels, weights):
    """What the baselines say before each row, one row after the other; of equals the class that led first leads on."""
    by_class, leader, last, said = Counter(), None, None, []
    for label, weight in zip(labels, weights, strict=True):
        said.append((leader, last))
        by_class[label] += weight
        if leader is None or by_class[label] > by_class[leader]:
            leader = label
        last = label
    return zip(*said, strict=True)


@pytest.mark.parametrize("classes", [2, 7, 60])
def test_baselines_equal_a_slow_loop(classes):
    labels, predictions, weights = rows_of(4000, classes)
    report = report_of(labels, predictions, weights)
    for name, said in zip(("majority", "no_change"), slow_baselines(labels, weights), strict=True):
        hits = [answer == label for answer, label in zip(said, labels, strict=True)]
        total, window = np.average(hits, weights=weights), np.average(hits[-1000:], weights=weights[-1000:])
        assert report["total"]["baselines"][name]["accuracy"] == pytest.approx(total)
        assert report["window"]["baselines"][name]["accuracy"] == pytest.approx(window)


def test_a_learner_is_beaten_by_the_majority():
    labels = np.where(np.arange(300) % 3, 1.0, 2.0)
    assert report_of(labels, np.full(300, 2.0), np.ones(300))["beaten_by"] == ["majority"]


def test_classes_beyond_the_limit_are_pooled_and_the_report_says_so():
    labels = np.arange(5000) % 2500 + 1.0
    predictions, weights = np.where(np.arange(5000) % 2, labels, 1.0), np.ones(5000)
    total = report_of(labels, predictions, weights)["total"]
    assert total["accuracy"] == metrics.accuracy_score(labels, predictions)
    assert total["other_weight"] == 3000.0
    assert len(total["classes"]) == 1001
    assert total["classes"][-1] | {"precision": 0, "f1": 0} == {
        "class": "other", "precision": 0, "recall": 0.5, "f1": 0, "support": 3000.0
    }  # fmt: skip
    assert len(total["confusion"]) <= 101 * 101
    assert sum(cell["count"] for cell in total["confusion"]) == 5000


def test_memory_and_state_stay_bounded_over_ever_new_classes():
    progressive, ones = Progressive("multiclass"), np.ones(1024)
    sizes = []
    for start in range(0, 60 * 1024, 1024):
        labels = np.arange(start, start + 1024) * 1.0
        progressive.update(labels, labels[::-1], None, ones, ones)
        sizes.append(len(progressive.state()))
    assert max(sizes[2:]) - min(sizes[2:]) < 2000
