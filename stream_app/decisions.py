"""Decisions by a threshold, counted by probability and outcome; and which threshold pays best. Knows no stream."""

import numpy as np
from numpy.typing import NDArray

from stream_app.money import STEPS, Counts, Money
from stream_app.progressive.rows import Column

_FROM = np.append(np.arange(STEPS) / STEPS, np.inf)

Histogram = NDArray[np.int64]
"""Labelled examples by what came true and step of the grid (the probability, rounded down): shape (2, 1000)."""

Codes = NDArray[np.intp]
"""Of each labelled example its place in a flat Histogram."""


def codes_of(labels: Column, probabilities: Column) -> Codes:
    """The place of each labelled row; its step is at or above that of a threshold exactly where it is itself."""
    has_label = ~np.isnan(labels)
    if not has_label.all():
        labels, probabilities = labels[has_label], probabilities[has_label]
    probabilities = np.fmin(np.fmax(probabilities, 0.0), 1.0)
    # The product of what lies right below a step may be rounded up to it; downwards none is (tested).
    steps = (probabilities * STEPS).astype(np.intp)
    steps -= probabilities < _FROM[steps]
    np.add(steps, STEPS, out=steps, where=labels > 0.0)
    return steps


def decided(histogram: Histogram, step: int) -> Counts:
    """The decisions of a threshold: positive from this step of the grid on."""
    return np.stack([histogram[:, :step].sum(axis=1), histogram[:, step:].sum(axis=1)], axis=1)


def best(histogram: Histogram, money: Money) -> int:
    """The step that would have paid most on these examples, NEVER included; of equals the one next to `money.step`."""
    below = np.zeros((2, STEPS + 1), np.int64)
    np.cumsum(histogram, axis=1, out=below[:, 1:])
    # What deciding every example positive pays is the same for all; below the threshold it is that much more or less.
    paid = below[0] * money.gained_by_no(0)
    paid += below[1] * money.gained_by_no(1)
    equal = np.flatnonzero(paid == paid.max())
    return int(equal[np.argmin(np.abs(equal - money.step))])


def histogram_of(codes: Codes) -> Histogram:
    """The examples of these places, counted."""
    return np.bincount(codes, minlength=2 * STEPS).astype(np.int64, copy=False).reshape(2, -1)
