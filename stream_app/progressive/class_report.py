"""Figures per class, their averages and the confusion cells, from weights that were counted. Counts nothing itself."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stream_app.progressive.rows import Column, Matrix, number, ratio
from stream_app.progressive.scores import Figures, Json

OTHER = "other"
"""The name under which classes are pooled that came too late to be told apart."""


def weigh_by_class(labels: NDArray[np.intp], predictions: NDArray[np.intp], weights: Matrix, classes: int) -> Matrix:
    """Weight of each class as label, as prediction and as both, shape (3, classes), from class indices of n rows.

    `weights` is of shape (2, n): the weight of each row, and the same where label and prediction are equal, else 0.0.
    """
    weight, hit = weights
    by_class = np.empty((3, classes))
    by_class[0] = np.bincount(labels, weight, classes)
    by_class[1] = np.bincount(predictions, weight, classes)
    by_class[2] = np.bincount(labels, hit, classes)
    return by_class


def class_report(names: list[Json], by_class: Matrix) -> Figures:
    """Precision, recall, F1 and support (weight) per class, macro average, and average by support.

    `by_class` is of shape (3, classes) from `weigh_by_class`. As scikit-learn with `zero_division=0.0`.
    """
    support, predicted, hit = by_class
    scores = np.stack([_over(hit, predicted), _over(hit, support), _over(2.0 * hit, support + predicted)])
    total = float(np.sum(support))
    return {
        "classes": [
            {"class": name, **_scores(column), "support": number(weight)}
            for name, column, weight in zip(names, scores.T, support, strict=True)
        ],
        "macro": _scores(scores.mean(axis=1)) if names else None,
        "weighted": _scores((scores * support).sum(axis=1) / total) if total > 0.0 else None,
    }


def confusion_cells(places: Iterable[tuple[Json, Json]], counted: Matrix) -> list[Json]:
    """Cells labelled with the (actual, predicted) of `places`, and of `counted` (2, cells) rows and weight."""
    return [
        {"actual": actual, "predicted": predicted, "count": int(count), "weight": number(weight)}
        for (actual, predicted), count, weight in zip(places, *counted, strict=True)
    ]


def class_name(value: float) -> Json:
    """The number of a class, an integer where it is one.

    >>> class_name(3.0), class_name(0.5)
    (3, 0.5)
    """
    return int(value) if float(value).is_integer() else number(value)


def accuracy(hit: float, weight: float) -> Figures:
    """Accuracy as a figure of its own, None where nothing weighs anything."""
    return {"accuracy": ratio(hit, weight)}


def _scores(values: Column) -> Figures:
    precision, recall, f1 = values.tolist()
    return {"precision": number(precision), "recall": number(recall), "f1": number(f1)}


def _over(part: Column, whole: Column) -> Column:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0.0)
