"""What the score of a linear Vowpal Wabbit model is the sum of: every feature and interaction of a line, by name.

Reads weights, and learns nothing. Names and hashes are those of `vw_weights`.
"""

import re
from collections.abc import Callable

from formats.vw_text import unescape
from learners.explanation import Term
from learners.learner import LearnerError
from learners.vw_features import Feature, Name, shown
from learners.vw_weights import Naming, VWModel

LINEAR = re.compile(
    r"gd|ftrl-.*|freegrad|scorer-.*|count_label|generate_interactions|binary|classweight-scalar|active|confidence"
    r"|replay_b"
)
"""Reductions of VW whose raw score is the sum of weight times value over the features, and nothing else."""

MOST_NAMED = 65_536
"""Names that are remembered as they are shown. A cache and nothing else."""


class Terms:
    """The terms of lines of one learner's model, whatever it has learnt meanwhile."""

    def __init__(self, model: VWModel) -> None:
        """`model` for its hashes and weights alone. Raises LearnerError where names cannot be told."""
        self._naming = Naming(model, [])
        self._weight = model.weight
        self._named: dict[Feature, tuple[str, tuple[str, ...]]] = {}

    def of(self, text: bytes, used: Callable[[float], float]) -> list[Term]:
        """Every feature, the constant, and every interaction; `used` gives what counts of a weight.

        Raises LearnerError where VW makes features of the line whose names are not known.
        """
        weight, found = self._weight, []
        for _, features in self._naming.features(text):
            slots = self._naming.slots(features.indices, 0).tolist()
            for parts, slot, value in zip(features.parts(), slots, features.values.tolist(), strict=True):
                name, fields = self._name(parts)
                found.append(Term(name, fields, slot, value, used(weight(slot, 0))))
        if self._naming.remarks:
            raise LearnerError(f"this event cannot be explained: {self._naming.remarks.pop()}")
        return found

    def _name(self, parts: tuple[Feature, ...]) -> tuple[str, tuple[str, ...]]:
        """Name and fields of a feature, or of an interaction of some."""
        if len(parts) == 1:
            return self._known(parts[0])
        known = [self._known(part) for part in parts]
        fields = tuple([field for _, fields in known for field in fields])
        is_plain = len(set(fields)) == len(fields)
        return "*".join([name for name, _ in known]), fields if is_plain else tuple(dict.fromkeys(fields))

    def _known(self, feature: Feature) -> tuple[str, tuple[str, ...]]:
        known = self._named.get(feature)
        if known is None:
            if len(self._named) >= MOST_NAMED:
                self._named.clear()
            known = name_of(feature), tuple(dict.fromkeys(field_of(name) for name in feature))
            self._named[feature] = known
        return known


def name_of(feature: Feature) -> str:
    """The name as people read it: unescaped, and with bytes that are no UTF-8 replaced.

    >>> name_of(((b"f", b"to%20city=Rio"),)), name_of(((b"f", b"a=1"), (b"f", b"b")))
    ('f^to city=Rio', 'f^a=1^b')
    """
    return _readable(shown(feature))


def field_of(name: Name) -> str:
    """The raw field of an event that a name is of: what stands before the `=`.

    >>> field_of((b"f", b"Origin=MCO")), field_of((b"", b"Constant"))
    ('f^Origin', 'Constant')
    """
    namespace, feature = name
    return _readable(shown(((namespace, feature.partition(b"=")[0]),)))


def _readable(name: bytes) -> str:
    text = unescape(name.decode(errors="surrogateescape"))
    return text.encode(errors="surrogateescape").decode(errors="replace")
