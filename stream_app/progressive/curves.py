"""What can be drawn of a learner's predictions: distributions, ROC, precision and recall. Knows no stream."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_app.progressive.rows import Column, number
from stream_app.progressive.scores import Figures, Json

BINS: Final = 20
POINTS: Final = 101


class Groups(NamedTuple):
    """Weight of positives and negatives by rising, distinct probability."""

    probabilities: Column
    positive: Column
    negative: Column

    @classmethod
    def of(cls, is_positive: NDArray[np.bool_], probabilities: Column, weights: Column) -> "Groups":
        """The groups of some rows, exact."""
        values, group = np.unique(probabilities, return_inverse=True)
        of_kind = [np.where(is_positive, weights, 0.0), np.where(is_positive, 0.0, weights)]
        positive, negative = (np.bincount(group, kind, len(values)).astype(np.float64) for kind in of_kind)
        return cls(values, positive, negative)


def curves_of(groups: Groups) -> Figures:
    """The distribution of scores, and both curves; a curve has no points while one of the two kinds is missing."""
    return {"scores": scores(groups), "roc": roc(groups), "precision_recall": precision_recall(groups)}


def scores(groups: Groups) -> list[Json]:
    """Weight of positives and negatives in 20 bins of equal width; bin i holds i / 20 <= p < (i + 1) / 20."""
    edges = np.arange(BINS) / BINS
    bins = np.searchsorted(edges, groups.probabilities, side="right") - 1
    positive, negative = (np.bincount(bins, weights, BINS) for weights in (groups.positive, groups.negative))
    return [
        {
            "from": index / BINS,
            "to": (index + 1) / BINS,
            "positive": number(positive[index]),
            "negative": number(negative[index]),
        }
        for index in range(BINS)
    ]


def roc(groups: Groups) -> list[Json]:
    """At most 101 points of the ROC curve from (0, 0) to (1, 1): rates where p >= threshold counts as positive."""
    reached = _reached(groups)
    if reached is None:
        return []
    thresholds, hits, alarms = reached
    recall, false = hits / hits[-1], alarms / alarms[-1]
    chosen = _thinned(recall + false, POINTS - 1)
    points: list[Json] = [
        {"threshold": number(thresholds[at]), "false_positive_rate": number(false[at]), "recall": number(recall[at])}
        for at in chosen
    ]
    return [{"threshold": None, "false_positive_rate": 0.0, "recall": 0.0}, *points]


def precision_recall(groups: Groups) -> list[Json]:
    """At most 101 points in rising order of recall: figures where p >= threshold counts as positive."""
    reached = _reached(groups)
    if reached is None:
        return []
    thresholds, hits, alarms = reached
    recall = hits / hits[-1]
    return [
        {
            "threshold": number(thresholds[at]),
            "recall": number(recall[at]),
            "precision": number(hits[at] / (hits[at] + alarms[at])),
        }
        for at in _thinned(recall, POINTS)
    ]


def _reached(groups: Groups) -> tuple[Column, Column, Column] | None:
    """By falling threshold: the threshold, and the weight of positives and of negatives that reach it."""
    is_used = groups.positive + groups.negative > 0.0
    thresholds, positive, negative = (column[is_used][::-1] for column in groups)
    hits, alarms = np.cumsum(positive), np.cumsum(negative)
    if not len(hits) or not (hits[-1] > 0.0 and alarms[-1] > 0.0):
        return None
    return thresholds, hits, alarms


def _thinned(along: Column, most: int) -> list[int]:
    """Indices of at most so many points, evenly spread along a rising measure; the last is always among them."""
    if len(along) <= most:
        return list(range(len(along)))
    wanted = np.linspace(along[0], along[-1], most)
    found = np.unique(np.append(np.searchsorted(along, wanted[:-1]), len(along) - 1))
    chosen: list[int] = found.tolist()
    return chosen


def histogram(values: Column, weights: Column) -> list[Json]:
    """Weight in 20 bins of equal width from the least to the greatest; one bin where all are equal."""
    if not len(values):
        return []
    low, high = float(values.min()), float(values.max())
    span = high - low
    bins = np.zeros(len(values), np.intp)
    if span > 0.0:
        bins = np.minimum(((values - low) / span * BINS).astype(np.intp), BINS - 1)
    count = BINS if span > 0.0 else 1
    weighed = np.bincount(bins, weights, count)
    return [
        {
            "from": number(low + span * (index / count)),
            "to": number(low + span * ((index + 1) / count)),
            "weight": number(weighed[index]),
        }
        for index in range(count)
    ]
