"""Confidence sequences for mean losses and their differences: valid at every moment, so that looking early is allowed.

Asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and
asymptotic confidence sequences, Annals of Statistics 2024, theorem 2.2): after n examples with mean m and standard
deviation s, the mean lies within m +- s sqrt(2 (n r^2 + 1) / (n^2 r^2) log(sqrt(n r^2 + 1) / alpha)), for all n at once
with probability 1 - alpha. r makes it narrowest at about PLANNED examples (appendix B.2).
"""

import math
from typing import Final, NamedTuple

import numpy as np

from stream_app.progressive.rows import Column, Matrix

PLANNED: Final = 5_000
FIRST: Final = 100
"""Examples before which nothing is said: the theory is about many."""

CLIP: Final = 1e-15
"""Probabilities count as at least this in log loss, as in the progressive figures."""


class Interval(NamedTuple):
    """A mean, and where it lies with confidence; the ends are infinite while too little is known."""

    mean: float
    low: float
    high: float


class LossSums(NamedTuple):
    """What `Losses` has added up."""

    examples: int
    offset: list[float] | None
    sums: list[float]
    products: list[list[float]]


class Losses:
    """Losses of several learners on the same examples: one confidence sequence each, and one for every difference.

    An example counts once, its loss multiplied by its weight. Alpha is shared by all pairs (Bonferroni), so that all
    intervals of differences hold together. Written by one owner.
    """

    def __init__(self, count: int, alpha: float = 0.05) -> None:
        self.examples = 0
        self._alpha = alpha
        self._pairs = max(1, count * (count - 1) // 2)
        self._offset: Column | None = None
        self._sums: Column = np.zeros(count)
        self._products: Matrix = np.zeros((count, count))

    def add(self, losses: Matrix) -> None:
        """Append losses of shape (learners, n), all finite."""
        if not losses.shape[1]:
            return
        if self._offset is None:
            self._offset = losses.mean(axis=1)
        centred = losses - self._offset[:, None]
        self._sums += centred.sum(axis=1)
        self._products += centred @ centred.T
        self.examples += losses.shape[1]

    def state(self) -> "LossSums":
        """For `restore`."""
        offset = self._offset.tolist() if self._offset is not None else None
        return LossSums(self.examples, offset, self._sums.tolist(), self._products.tolist())

    def restore(self, state: "LossSums") -> None:
        """Go on from there: the same intervals, to the last bit."""
        self.examples = state.examples
        self._offset = np.array(state.offset) if state.offset is not None else None
        self._sums, self._products = np.array(state.sums), np.array(state.products)

    def mean(self, learner: int) -> Interval:
        """Of one learner's losses."""
        return self._interval(_unit(len(self._sums), learner), self._alpha)

    def difference(self, learner: int, other: int) -> Interval:
        """Of the losses of one learner less those of another, on the same examples."""
        direction = _unit(len(self._sums), learner) - _unit(len(self._sums), other)
        return self._interval(direction, self._alpha / self._pairs)

    def _interval(self, direction: Column, alpha: float) -> Interval:
        n = self.examples
        if self._offset is None:
            return Interval(math.nan, -math.inf, math.inf)
        centred = float(direction @ self._sums) / n
        mean = float(direction @ self._offset) + centred
        variance = max(0.0, float(direction @ self._products @ direction) / n - centred**2)
        if n < FIRST:
            return Interval(mean, -math.inf, math.inf)
        radius = math.sqrt(variance) * radius_of(n, alpha)
        return Interval(mean, mean - radius, mean + radius)


def radius_of(n: int, alpha: float) -> float:
    """Half the width of the interval after n examples, in standard deviations.

    >>> round(radius_of(5000, 0.05), 4)
    0.0429
    """
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / PLANNED
    return math.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))


def losses_of(task: str, labels: Column, predictions: Column, probabilities: Column | None, own: Column) -> Column:
    """The loss by which learners of a task are compared, unweighted, nan where there is no label or no prediction.

    binary: log loss; regression: squared; multiclass: 1 where the class is wrong; bandit: the learner's own.
    """
    if task == "binary" and probabilities is not None:
        sure = np.clip(probabilities, CLIP, 1 - CLIP)
        losses = -np.log(np.where(labels > 0, sure, 1 - sure))
    elif task == "regression":
        losses = (predictions - labels) ** 2
    elif task == "multiclass":
        losses = (predictions != labels).astype(np.float64)
    else:
        losses = own
    found: Column = np.where(np.isnan(labels) | np.isnan(predictions), np.nan, losses)
    return found


LOSS_NAMES: Final = {
    "binary": "log_loss",
    "regression": "squared_loss",
    "multiclass": "zero_one_loss",
    "bandit": "average_loss",
}


def _unit(count: int, index: int) -> Column:
    unit: Column = np.zeros(count)
    unit[index] = 1.0
    return unit
