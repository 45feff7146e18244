"""The weights of a VW model by name, without learning: what `--readable_model`, `--invert_hash` and `--audit` tell.

VW itself says which weights there are and what the features of a line hash to; the names are ours. Interactions are
hashed here, as interactions_predict.h of Vowpal Wabbit 9.11 does. Knows no binding: it is given a `VWModel`.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from formats.example import Example
from learners.learner import Audit, Audited, LearnerError, Name, Weight, Weights
from learners.vw_features import CONSTANT, Feature, Term, Tweaks, shown

Indices = NDArray[np.uint64]
Hashed = list[tuple[int, list[tuple[int, float]]]]
"""Namespaces of an example as VW numbers them, with full index and value of each feature."""

MOST_PRODUCTS = 1 << 25
"""Products of names that are tried for one interaction; beyond, only events that are read again tell its names."""

PRODUCTS_AT_ONCE = 1 << 18
NAMES_AT_ONCE = 1_000

MOST_KNOWN = 1 << 20
"""Features of one interaction that are recognised when they come again; then all are looked at anew."""

_FNV = np.uint64(16777619)
_ENTRY = re.compile(r"^(\d+):(\S+)(.*)$", re.MULTILINE)
_FIELD = re.compile(r"^(l1_state|l2_state|min_label|max_label) (\S+)$", re.MULTILINE)


class VWModel(msgspec.Struct, frozen=True):
    """What is asked of VW. `hashed` must leave no trace in it."""

    arguments: str
    readable: str
    """What `--readable_model` writes."""
    hashed: Callable[[bytes], Hashed]
    weight: Callable[[int, int], float]
    """The weight at an index, or one of the numbers beside it."""
    size: int
    stride: int


class Features(msgspec.Struct, frozen=True):
    """Features of one namespace: names, full indices, values."""

    names: list[Feature]
    indices: Indices
    values: NDArray[np.float32]

    def name(self, place: int) -> bytes:
        return shown(self.names[place])

    def parts(self) -> Sequence[tuple[Feature, ...]]:
        """What each feature is made of: itself."""
        return [(name,) for name in self.names]


def weights(model: VWModel, names: Iterable[Name], examples: Iterable[Example]) -> Weights:
    """Every weight that is not zero, with the names that fall on it: of `names`, and of the features of `examples`.

    Interactions come from the examples if there are any, otherwise from all products of names that may interact.
    """
    entries = [(int(index), value, rest) for index, value, rest in _ENTRY.findall(_body(model.readable))]
    dictionary, examples = list(names), iter(examples)
    first = next(examples, None)
    if not dictionary and first is None:
        return Weights([Weight([], index, float(value), value + rest) for index, value, rest in entries], [])
    naming = Naming(model, [index for index, _, _ in entries])
    naming.add_names(dictionary)
    if first is None:
        naming.add_products()
    for example in [] if first is None else chain([first], examples):
        naming.add_example(example)
    found = [
        Weight([_text(name) for name in naming.found.get(index, ())], index, float(value), value + rest)
        for index, value, rest in entries
    ]
    return Weights(found, naming.remarks)


class Auditor:
    """Lists the features of examples with their weights, as VW's `--audit` does, largest contribution first."""

    def __init__(self, model: VWModel) -> None:
        self._naming = Naming(model, [])
        self._weight = model.weight
        state = {name: float(value) for name, value in _FIELD.findall(model.readable)}
        self._used = Regularised.of(model.readable).weight
        self._bounds = state["min_label"], state["max_label"]

    def audit(self, example: Example, prediction: float) -> Audit:
        """`prediction` is the sum of all contributions; VW shows it within the labels seen."""
        rows = []
        for _, features in self._naming.features(example.text):
            slots = self._naming.slots(features.indices, 0).tolist()
            for place, (slot, value) in enumerate(zip(slots, features.values.tolist(), strict=True)):
                name, weight = _text(features.name(place)), self._used(self._weight(slot, 0))
                rows.append(Audited(name, slot, value, weight, f"{name}:{slot}:{value:g}:{weight:g}"))
        lowest, highest = self._bounds
        return Audit(min(max(prediction, lowest), highest), sorted(rows, key=lambda row: -abs(row.weight * row.value)))


class Regularised(msgspec.Struct, frozen=True):
    """What `--l1` and `--l2` leave of a weight when it is used: VW takes it off in one go for all weights."""

    gravity: float = 0.0
    contraction: float = 1.0

    @classmethod
    def of(cls, readable: str) -> "Regularised":
        """As `--readable_model` tells it, to six digits."""
        state = {name: float(value) for name, value in _FIELD.findall(readable)}
        return cls(state["l1_state"], state["l2_state"])

    def weight(self, raw: float) -> float:
        """The weight as it counts."""
        kept = raw - math.copysign(self.gravity, raw) if abs(raw) > self.gravity else 0.0
        return kept * self.contraction


class Naming:
    """Gathers the names of the weights at `wanted` indices: `found`, and in `remarks` what could not be named."""

    def __init__(self, model: VWModel, wanted: Sequence[int]) -> None:
        self.found: dict[int, dict[bytes, None]] = {}
        self.remarks: list[str] = []
        self._model = model
        self._tweaks = Tweaks(model.arguments)
        if not self._tweaks.is_in_order:
            raise LearnerError("names cannot be told with --sort_features or --feature_limit: they reorder features")
        self._wanted = np.array(sorted(wanted), np.uint64)
        self._models = _multiplier(model.hashed) // model.stride
        self._parts: dict[int, list[Features]] = {}
        self._known: dict[Term, set[int]] = {}

    def add_names(self, names: Iterable[Name]) -> None:
        """Names of a dictionary."""
        by_namespace: dict[bytes, list[bytes]] = {}
        for namespace, name in names:
            by_namespace.setdefault(namespace, []).append(name)
        self._add(self._hashed(b"|"))
        for namespace, group in by_namespace.items():
            for first in range(0, len(group), NAMES_AT_ONCE):
                line = b" ".join([b"|" + namespace, *group[first : first + NAMES_AT_ONCE]])
                self._add(self._hashed(line, is_whole=False))

    def add_example(self, example: Example) -> None:
        """The features of one example, or of each action of a group with what is shared, interactions included."""
        for term, features in self.features(example.text):
            known = self._known.setdefault(term, set())
            fresh = [place for place, index in enumerate(features.indices.tolist()) if index not in known]
            if len(known) > MOST_KNOWN:
                known.clear()
            known.update(features.indices[fresh].tolist())
            self._find(features, fresh)

    def add_products(self) -> None:
        """Interactions of the names added so far."""
        if self._tweaks.has_grams:
            self._remark("n-grams are named from events only: give --from FILE")
        groups = {char: _joined(parts) for char, parts in self._parts.items()}
        for term in self._tweaks.terms(groups):
            sizes = [len(groups[char].names) for char in term]
            if math.prod(sizes) > MOST_PRODUCTS:
                self._remark(
                    f"interaction {bytes(term).decode('latin-1')!r}: {math.prod(sizes)} products of names are too many "
                    "to try; give --from FILE to name them from events"
                )
                continue
            step = max(1, PRODUCTS_AT_ONCE // math.prod(sizes[1:]))
            for first in range(0, sizes[0], step):
                products = _Products(groups, term, True, range(first, min(first + step, sizes[0])))
                self._find(products, range(len(products.indices)))

    def features(self, text: bytes) -> Iterator[tuple[Term, "Features | _Products"]]:
        """Everything in one example that has a weight: its features, the constant, and interactions."""
        lines = [self._hashed(line) for line in text.split(b"\n")]
        if text.startswith(b"shared") and len(lines) > 1:
            shared = {char: features for char, features in lines[0].items() if char != CONSTANT}
            lines = [_merged(line, shared) for line in lines[1:]]
        for groups in lines:
            for char, features in groups.items():
                yield (char,), features
            for term in self._tweaks.terms(groups):
                yield term, _Products(groups, term, self._tweaks.is_permuted, range(len(groups[term[0]].names)))

    def slots(self, indices: Indices, model: int) -> Indices:
        """Where the weights of full indices lie, for one of the several models that a learner may hold."""
        stride, size = self._model.stride, self._model.size
        return ((indices + np.uint64(model * stride)) & np.uint64(size * stride - 1)) // np.uint64(stride)

    def _hashed(self, line: bytes, is_whole: bool = True) -> dict[int, Features]:
        """The features of one line by namespace; unless `is_whole`, without grams of what stands side by side."""
        named = self._tweaks.names(line)
        groups = {}
        for char, features in self._model.hashed(line):
            plain = [(b"", b"Constant")] if char == CONSTANT else named.get(char, [])
            names: list[Feature] = [(name,) for name in plain]
            if is_whole:
                names += self._tweaks.grams(char, plain)
            else:
                features = features[: len(names)]
            if len(names) != len(features):
                self._remark(f"namespace {char}: VW makes features of it whose names are not known")
                continue
            groups[char] = Features(
                names,
                np.array([index for index, _ in features], np.uint64),
                np.array([value for _, value in features], np.float32),
            )
        return groups

    def _add(self, groups: Mapping[int, Features]) -> None:
        for char, features in groups.items():
            if char != CONSTANT:
                self._parts.setdefault(char, []).append(features)
            self._find(features, range(len(features.names)))

    def _find(self, features: "Features | _Products", chosen: Sequence[int]) -> None:
        """Note the names of those of the chosen features that have a weight."""
        indices = features.indices[chosen] if len(chosen) else np.empty(0, np.uint64)
        for model in range(self._models if len(self._wanted) else 0):
            slots = self.slots(indices, model)
            places = np.minimum(np.searchsorted(self._wanted, slots), len(self._wanted) - 1)
            suffix = b"[%d]" % model if model else b""
            for place in np.flatnonzero(self._wanted[places] == slots).tolist():
                self.found.setdefault(int(slots[place]), {})[features.name(chosen[place]) + suffix] = None

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)


class _Products:
    """The interactions of some namespaces, for a range of the first one's features, as VW makes and hashes them."""

    def __init__(self, groups: Mapping[int, Features], term: Term, is_permuted: bool, first: range) -> None:
        self._groups = [groups[char] for char in term]
        self._places = [np.arange(first.start, first.stop)]
        self.indices = self._groups[0].indices[first.start : first.stop]
        self.values = self._groups[0].values[first.start : first.stop]
        for (previous, char), group in zip(pairwise(term), self._groups[1:], strict=True):
            rows = np.repeat(np.arange(len(self.indices)), len(group.names))
            columns = np.tile(np.arange(len(group.names)), len(self.indices))
            if previous == char and not is_permuted:
                is_kept = columns >= self._places[-1][rows]
                rows, columns = rows[is_kept], columns[is_kept]
            self.indices = (_FNV * self.indices[rows]) ^ group.indices[columns]
            self.values = self.values[rows] * group.values[columns]
            self._places = [places[rows] for places in self._places] + [columns]

    def name(self, place: int) -> bytes:
        return b"*".join([shown(group.names[at[place]]) for group, at in zip(self._groups, self._places, strict=True)])

    def parts(self) -> Sequence[tuple[Feature, ...]]:
        """What each interaction is made of."""
        columns = [
            [group.names[place] for place in at.tolist()] for group, at in zip(self._groups, self._places, strict=True)
        ]
        return list(zip(*columns, strict=True))


def _body(readable: str) -> str:
    """What follows VW's header, which ends with the line `:0` or `:1`."""
    return re.split(r"^:[01]\n", readable, maxsplit=1, flags=re.MULTILINE)[-1]


def _multiplier(hashed: Callable[[bytes], Hashed]) -> int:
    """By how much VW multiplies hashes: features without a name are hashed to neighbours."""
    for namespace in ["", *"abcdefghijklmnopqrstuvwxyz0123456789"]:
        for char, features in hashed(f"|{namespace} :1 :1".encode()):
            if char < CONSTANT and len(features) > 1:
                return features[1][0] - features[0][0]
    raise LearnerError("names cannot be told: VW ignores every namespace")


def _joined(parts: Sequence[Features]) -> Features:
    return Features(
        [name for part in parts for name in part.names],
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _merged(line: Mapping[int, Features], shared: Mapping[int, Features]) -> dict[int, Features]:
    """An action with what all actions share."""
    both = {char: _joined([features, shared[char]]) if char in shared else features for char, features in line.items()}
    return both | {char: features for char, features in shared.items() if char not in line}


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
