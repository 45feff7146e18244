"""Rules by which a service says that something is wrong: each a value worked out from figures, and a threshold.

Knows no clock, no network and no service: what is said is a function of the figures that are given.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

LEAST = 10
"""Requests, or records, of which a share is taken at least."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a service knows of itself at one moment. Counts are since its start; None is what does not apply."""

    at_s: float
    """The moment, Unix seconds."""
    no_prediction_s: float | None = None
    """Since the last prediction; None before the first one."""
    no_label_s: float | None = None
    """Since a labelled event was learnt last; None before the first one."""
    requests: int = 0
    request_errors: int = 0
    records: int = 0
    dead_letters: int = 0
    lag: int | None = None
    model_age_s: float | None = None
    """Since the model learnt last, while records wait."""
    servable: int = 0
    servable_s: float = 0.0
    """Micro-batches learnt, and the sum of their ages when answers were given by them."""
    checkpoint_wait_s: float = 0.0
    checkpoint_every_s: float = 60.0
    beaten_by: int | None = None
    """Baselines that do better over the window; None while it is not full."""
    importance_shifts: int = 0


Value = Callable[[Figures, Figures], float | None]
"""A rule's value from the figures now and those at the beginning of the window; None where it cannot be said."""


class Rule(msgspec.Struct, frozen=True):
    """What is looked at, and from which value on it is wrong where the settings do not say.

    `summary` says what is wrong, with the value where it has `{}`; `figure` is how a value of it is written.
    """

    name: str
    summary: str
    figure: str
    value: Value
    threshold: float
    for_s: float
    cleared: str | None = None
    """What there is to say of the value when the rule no longer holds; None: the same as when it does."""
    is_windowed: bool = False
    """Whether a service that has just begun knows nothing yet, whatever the value: it is of what began with it."""

    def says(self, value: float) -> str:
        """The sentence of what is wrong, with this value."""
        return self.summary.format(self.figure.format(value))

    def resolved(self, value: float | None, threshold: float, since: str) -> str:
        """What is true now that the rule no longer holds, or that nothing can be said of it.

        >>> RULES[3].resolved(0.012, 0.05, "2026-11-26 18:00:00 UTC")
        '1.2% of the requests failed: not above 5.0%, as it was since 2026-11-26 18:00:00 UTC'
        """
        limit = self.figure.format(threshold)
        if value is None:
            return f"too little has come to judge by: it was above {limit} since {since}"
        said = (self.cleared or self.summary).format(self.figure.format(value))
        return f"{said}: not above {limit}, as it was since {since}"

    @property
    def runbook(self) -> str:
        """Where it stands what to do."""
        return f"docs/runbooks/{self.name}.md"


class Limits(msgspec.Struct, frozen=True):
    """Above which value a rule holds, and how long it must hold before it fires."""

    threshold: float
    for_s: float


State = Literal["inactive", "pending", "firing"]


class Alert(msgspec.Struct, frozen=True):
    """A rule at one moment. `since`: when it began to hold, Unix seconds; None while it does not."""

    state: State = "inactive"
    value: float | None = None
    since: float | None = None


def judged(before: Alert, value: float | None, limits: Limits, now_s: float) -> Alert:
    """What a rule says after it said `before`. It clears as soon as it no longer holds.

    >>> limits = Limits(threshold=0.1, for_s=60.0)
    >>> pending = judged(Alert(), 0.2, limits, 1_000.0)
    >>> pending.state, judged(pending, 0.3, limits, 1_060.0).state, judged(pending, 0.1, limits, 1_060.0).state
    ('pending', 'firing', 'inactive')
    """
    if value is None or not value > limits.threshold:
        return Alert(value=value)
    since = now_s if before.since is None else before.since
    is_firing = before.state == "firing" or now_s - since >= limits.for_s
    return Alert("firing" if is_firing else "pending", value, since)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole >= LEAST else None


def _error_rate(now: Figures, then: Figures) -> float | None:
    return _share(now.request_errors - then.request_errors, now.requests - then.requests)


def _dead_letters(now: Figures, then: Figures) -> float | None:
    return _share(now.dead_letters - then.dead_letters, now.records - then.records)


def _lag_growing(now: Figures, then: Figures) -> float | None:
    return None if now.lag is None or then.lag is None else float(now.lag - then.lag)


def _freshness(now: Figures, then: Figures) -> float | None:
    """The worse one: how long records wait for a model that learns nothing, and how old they are when it has."""
    learnt = now.servable - then.servable
    mean_s = (now.servable_s - then.servable_s) / learnt if learnt > 0 else None
    known = [age_s for age_s in (now.model_age_s, mean_s) if age_s is not None]
    return max(known, default=None)


RULES = (
    Rule(
        "predictions_zero",
        "no prediction for {}",
        "{:.0f} s",
        lambda now, _: now.no_prediction_s,
        300.0,
        0.0,
        "the last prediction was {} ago",
    ),
    Rule(
        "labels_zero",
        "no labelled event learnt for {}",
        "{:.0f} s",
        lambda now, _: now.no_label_s,
        900.0,
        0.0,
        "the last labelled event was learnt {} ago",
    ),
    Rule(
        "loss_above_baseline",
        "{} baselines do better than the model over the window",
        "{:.0f}",
        lambda now, _: None if now.beaten_by is None else float(now.beaten_by),
        0.0,
        300.0,
    ),
    Rule("error_rate", "{} of the requests failed", "{:.1%}", _error_rate, 0.05, 60.0, is_windowed=True),
    Rule(
        "lag_growing",
        "{} records more than before wait to be learnt",
        "{:.0f}",
        _lag_growing,
        1_000.0,
        60.0,
        "the lag has grown by {} records",
        is_windowed=True,
    ),
    Rule(
        "checkpoint_overdue",
        "what was learnt waits for a checkpoint {} as long as it should",
        "{:.1f} times",
        lambda now, _: now.checkpoint_wait_s / now.checkpoint_every_s,
        3.0,
        60.0,
        is_windowed=True,
    ),
    Rule(
        "dead_letters",
        "{} of the records could not be learnt",
        "{:.1%}",
        _dead_letters,
        0.01,
        60.0,
        is_windowed=True,
    ),
    Rule(
        "freshness",
        "records are {} old before answers know of them",
        "{:.0f} s",
        _freshness,
        300.0,
        60.0,
        is_windowed=True,
    ),
    Rule(
        "importance_shift",
        "features have gained or lost importance (sudden changes of their order: {})",
        "{:.0f}",
        lambda now, _: float(now.importance_shifts),
        0.0,
        0.0,
        "{} sudden changes of the order of features",
    ),
)
