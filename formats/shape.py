"""Turns the fields of a record into features, fast: one plan per set of field names, one table of values per field.

Records of a stream repeat their field names, and most of their values. A shape is the plan for one sequence of names:
where each goes, in canonical order (so that the order of a dict never matters). A field's table remembers for each
value what it becomes; it is a cache and nothing else, so emptying it changes no result.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import getitem, itemgetter
from typing import Any

from formats.example import Features, FormatError, Value
from formats.numbers import written
from formats.schema import Schema
from formats.vw_text import escape, escape_name

CACHED_VALUES = 16_384
"""Values remembered per field; a column of rarer values than that is computed anew each time."""

CACHED_SHAPES = 4_096

Convert = Callable[[str, Any], Value]
"""Schema.value for JSON, Schema.cell for CSV: raises FormatError."""


class VwTokens(dict[Hashable, bytes]):
    """What each value of one field is as VW tokens, each led by a blank: b' Origin=MCO', b' Distance:447', b''."""

    def __init__(self, field: str, name: str, convert: Convert) -> None:
        super().__init__()
        self._field = field
        self._name = escape_name(name)
        self._convert = convert

    def __missing__(self, raw: Hashable) -> bytes:
        token = self.of(raw)
        if len(self) >= CACHED_VALUES:
            self.clear()
        # 1, 1.0 and True are one key, and are written alike.
        self[raw] = token
        return token

    def of(self, raw: object) -> bytes:
        """The tokens of one value. Raises FormatError."""
        value = self._convert(self._field, raw)
        if value is None:
            text = ""
        elif isinstance(value, str):
            text = f" {self._name}={escape(value)}"
        elif isinstance(value, list):
            text = "".join([f" {self._name}={escape(token)}" for token in value])
        else:
            text = f" {self._name}:{written(value)}"
        return _utf8(self._field, text)


class Plan:
    """How records of one shape become the feature part of a VW line: per namespace, its values' tables in order."""

    def __init__(self, parts: Sequence[tuple[str, Sequence[int], Sequence[VwTokens]]]) -> None:
        self._parts = [(_opening(namespace), _getter(indexes), tables) for namespace, indexes, tables in parts]

    def text(self, values: Sequence[Any]) -> bytes:
        """`|f a=x b:2 |g c:1` for the values of a record, in the order of the names that the plan was made for."""
        sections = []
        for opening, get, tables in self._parts:
            try:
                sections.append(opening + b"".join(map(getitem, tables, get(values))))
            except TypeError:  # a list cannot be looked up
                sections.append(opening + b"".join(map(VwTokens.of, tables, get(values))))
        return b" ".join(sections)


class Shapes:
    """The plans for all shapes seen, made on demand. `convert` types a value; `schema` says where its field goes."""

    def __init__(self, schema: Schema, convert: Convert) -> None:
        self._schema = schema
        self._convert = convert
        self._tables: dict[tuple[str, str], VwTokens] = {}
        self._plans: dict[Hashable, Plan] = {}

    def known(self, key: Hashable) -> Plan | None:
        """The plan known by `key`, if any: so that the caller need not list the fields again."""
        return self._plans.get(key)

    def plan(self, key: Hashable, fields: Iterable[tuple[str, str]]) -> Plan:
        """A new plan, from (namespace, field) pairs in the order of the values, known by `key` from now on."""
        if len(self._plans) >= CACHED_SHAPES:
            self._plans.clear()
            self._tables.clear()
        plan = self._plans[key] = Plan(self._parts(list(fields)))
        return plan

    def _parts(self, fields: list[tuple[str, str]]) -> list[tuple[str, list[int], list[VwTokens]]]:
        placed = []
        for index, (namespace, field) in enumerate(fields):
            home = self._schema.home(field, namespace)
            if home is not None:
                placed.append((*home, index, field))
        parts: dict[str, tuple[list[int], list[VwTokens]]] = {}
        for namespace, name, index, field in sorted(placed):
            indexes, tables = parts.setdefault(namespace, ([], []))
            indexes.append(index)
            tables.append(self._table(field, name))
        return [(namespace, *part) for namespace, part in parts.items()] or [("", [], [])]

    def _table(self, field: str, name: str) -> VwTokens:
        return self._tables.setdefault((field, name), VwTokens(field, name, self._convert))


def features_of(
    schema: Schema, convert: Convert, fields: Iterable[tuple[str, str]], values: Iterable[Value]
) -> Features:
    """The same as typed features, in the same canonical order, for learners that read dicts. Missing ones are out."""
    placed = []
    for (namespace, field), raw in zip(fields, values, strict=True):
        home = schema.home(field, namespace)
        if home is not None and (value := convert(field, raw)) is not None:
            placed.append((home, value))
    features: Features = {}
    for (namespace, name), value in sorted(placed, key=itemgetter(0)):
        features.setdefault(namespace, {})[name] = value
    return features


def _opening(namespace: str) -> bytes:
    return f"|{escape_name(namespace)}".encode() if namespace else b"|"


def _getter(indexes: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return lambda values: [values[index] for index in indexes]


def _utf8(field: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FormatError(f"{field}: {text[:60]!r} holds half a surrogate pair, which is not text") from error
