"""Counts of rows by predicted probability and label: confusion and calibration. Knows no other figure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_app.progressive.rows import Column, Matrix, number, ratio
from stream_app.progressive.scores import Figures, Json

BINS: Final = 10
CELLS: Final = 4 * BINS
_NAMES: Final = ("negative", "positive")


def cells_of(is_positive: NDArray[np.bool_], probabilities: Column) -> NDArray[np.intp]:
    """The cell of each row: (bin, predicted, actual) as one number. Bin i holds i / 10 <= p < (i + 1) / 10.

    The prediction is positive from p = 0.5 on.
    """
    bins = np.minimum((probabilities * BINS).astype(np.int8), np.int8(BINS - 1))
    return (4 * bins + 2 * (probabilities >= 0.5).view(np.int8) + is_positive).astype(np.intp)


def weigh(cells: NDArray[np.intp], probabilities: Column, weights: Column) -> Matrix:
    """Rows, weight, and weight times probability per cell, shape (3, 40)."""
    counted = np.empty((3, CELLS))
    counted[0] = np.bincount(cells, minlength=CELLS)
    counted[1] = np.bincount(cells, weights, CELLS)
    counted[2] = np.bincount(cells, weights * probabilities, CELLS)
    return counted


def decisions(cells: Matrix) -> Figures:
    """Accuracy, precision, recall, F1, weighted, and the confusion cells; 0.0 where scikit-learn divides by zero."""
    rows = cells[0].reshape(BINS, 4).sum(axis=0)
    figures = faded_decisions(cells[1])
    figures["confusion"] = [
        {
            "actual": _NAMES[place % 2],
            "predicted": _NAMES[place // 2],
            "count": int(rows[place]),
            "weight": number(weight),
        }
        for place, weight in enumerate(_by_decision(cells[1]))
    ]
    return figures


def faded_decisions(weights: Column) -> Figures:
    """The same from the weight of each cell alone, without the confusion cells."""
    true_negative, false_negative, false_positive, true_positive = _by_decision(weights)
    everything = true_negative + false_negative + false_positive + true_positive
    return {
        "accuracy": ratio(true_negative + true_positive, everything),
        "precision": _or_zero(true_positive, true_positive + false_positive, everything),
        "recall": _or_zero(true_positive, true_positive + false_negative, everything),
        "f1": _or_zero(2 * true_positive, 2 * true_positive + false_positive + false_negative, everything),
    }


def _by_decision(weights: Column) -> list[float]:
    summed: list[float] = weights.reshape(BINS, 4).sum(axis=0).tolist()
    return summed


def _or_zero(part: float, whole: float, everything: float) -> float | None:
    return 0.0 if whole == 0.0 and everything > 0.0 else ratio(part, whole)


def calibration(cells: Matrix) -> Figures:
    """Per bin: rows, weight, weighted mean prediction and weighted rate of positives; and the expected error.

    The expected calibration error is the mean over bins of |rate - mean prediction|, by weight (Naeini et al. 2015).
    """
    rows, weights, predicted = cells.reshape(3, BINS, 2, 2).sum(axis=2).sum(axis=2)
    positive = cells[1].reshape(BINS, 2, 2)[:, :, 1].sum(axis=1)
    bins: list[Json] = [
        {
            "from": index / BINS,
            "to": (index + 1) / BINS,
            "count": int(rows[index]),
            "weight": number(weights[index]),
            "mean_predicted": ratio(predicted[index], weights[index]),
            "observed_rate": ratio(positive[index], weights[index]),
        }
        for index in range(BINS)
    ]
    error = ratio(float(np.abs(positive - predicted).sum()), float(weights.sum()))
    return {"expected_error": error, "bins": bins}
