"""What a prediction is the sum of: terms of a score by name, contributions of raw fields, reasons. Knows no learner.

A term is a feature, or an interaction of several. Its contribution is its weight times its value; a raw field is
credited with the terms that are made of it alone, and with an equal share of those that it is in with others.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Sequence

import msgspec

CONSTANT = "Constant"
"""The term that every score has, whatever the event: no field, and never a reason."""

ROUNDING = "(rounding)"
"""What the learner's own arithmetic, in single precision, makes of the sum; a row only from TOLERANCE on."""

TOLERANCE = 1e-6
REASONS = 3
"""Fields named for and against a score, at most."""


class Term(msgspec.Struct, frozen=True, gc=False):
    """One summand of a raw score. `place` tells its weight from others: two terms that share one collide."""

    feature: str
    fields: tuple[str, ...]
    """The raw fields of the event that it is made of, each once, in order."""
    place: Hashable
    value: float
    weight: float


class Score(msgspec.Struct, frozen=True):
    """A raw score, before link and clipping, and all that it is the sum of."""

    raw: float
    terms: Sequence[Term]


class Contribution(msgspec.Struct, frozen=True, gc=False):
    """What one named feature, or one interaction, added to a raw score."""

    feature: str
    value: float
    weight: float
    contribution: float


class FieldContribution(msgspec.Struct, frozen=True, gc=False):
    """What all that one raw field of the event gave rise to added to a raw score."""

    field: str
    contribution: float


class Reasons(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """The fields that push a score up the most, and those that push it down; the strongest first."""

    for_: list[FieldContribution]
    against: list[FieldContribution]


class Explanation(msgspec.Struct, frozen=True):
    """Why a score is what it is. `contributions` and `fields` each sum to `raw` within 1e-6; largest magnitude first.

    `collisions`: how many features of this event share their weight with another feature of it.
    """

    raw: float
    contributions: list[Contribution]
    fields: list[FieldContribution]
    reasons: Reasons
    collisions: int


def explained(score: Score, reasons: int = REASONS) -> Explanation:
    """The terms of a score put in order, gathered by field, with at most so many reasons for and against it.

    >>> terms = [Term("a", ("a",), 1, 2.0, 0.5), Term("a*b=x", ("a", "b"), 2, 2.0, -2.0)]
    >>> explained(Score(-3.0, terms)).fields
    [FieldContribution(field='b', contribution=-2.0), FieldContribution(field='a', contribution=-1.0)]
    """
    rows = [Contribution(term.feature, term.value, term.weight, term.weight * term.value) for term in score.terms]
    by_field: defaultdict[str, float] = defaultdict(float)
    for term, row in zip(score.terms, rows, strict=True):
        for field in term.fields:
            by_field[field] += row.contribution / len(term.fields)
    rest = score.raw - sum(row.contribution for row in rows)
    if abs(rest) > TOLERANCE:
        rows.append(Contribution(ROUNDING, 1.0, rest, rest))
        by_field[ROUNDING] += rest
    fields = [FieldContribution(field, contribution) for field, contribution in by_field.items()]
    fields.sort(key=lambda one: (-abs(one.contribution), one.field))
    named = [one for one in fields if one.field not in (CONSTANT, ROUNDING)]
    return Explanation(
        raw=score.raw,
        contributions=sorted(rows, key=lambda row: -abs(row.contribution)),
        fields=fields,
        reasons=Reasons(
            [one for one in named if one.contribution > 0][:reasons],
            [one for one in named if one.contribution < 0][:reasons],
        ),
        collisions=collisions([(term.place, term.feature) for term in score.terms]),
    )


def collisions(placed: Collection[tuple[Hashable, str]]) -> int:
    """How many different features share a weight with another one.

    >>> collisions([(1, "a"), (2, "b"), (2, "b"), (3, "c"), (3, "d")])
    2
    """
    count = Counter(place for place, _ in set(placed))
    return sum(features for features in count.values() if features > 1)
