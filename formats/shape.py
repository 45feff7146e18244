"""Turns the fields of a record into features, fast: one plan per set of field names, one table of values per field.

Records of a stream repeat their field names, and most of their values. A shape is the plan for one sequence of names:
where each goes, in canonical order (so that the order of a dict never matters). A field's table remembers for each
value what it becomes; it is a cache and nothing else, so emptying it changes no result.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import repeat
from operator import getitem, itemgetter
from typing import Any

from formats.example import Features, FormatError, Value
from formats.numbers import written
from formats.schema import Schema
from formats.vw_text import escape, escape_name

CACHED_VALUES = 32_768
"""Values remembered, over all fields; then all are forgotten and remembered anew."""

LONGEST_KEPT = 128
"""Characters of a value that is remembered; longer texts seldom repeat."""

CACHED_FIELDS = 65_536

CACHED_SHAPES = 4_096

Convert = Callable[[str, Any], Value]
"""Schema.value for JSON, Schema.cell for CSV: raises FormatError."""


class VwTokens(dict[Hashable, bytes]):
    """What each value of one field is as VW tokens, each led by a blank: b' Origin=MCO', b' Distance:447', b''."""

    def __init__(self, field: str, name: str, shapes: "Shapes") -> None:
        super().__init__()
        self._field = field
        self._name = escape_name(name)
        self._shapes = shapes

    def __missing__(self, raw: Hashable) -> bytes:
        token = self.of(raw)
        if raw.__class__ is str and len(raw) > LONGEST_KEPT:
            return token
        # 1, 1.0 and True are one key, and are written alike.
        self[raw] = token
        self._shapes.remembered()
        return token

    def of(self, raw: object) -> bytes:
        """The tokens of one value. Raises FormatError."""
        value = self._shapes.convert(self._field, raw)
        if value is None:
            text = ""
        elif isinstance(value, str):
            text = f" {self._name}={escape(value)}"
        elif isinstance(value, list):
            text = "".join([f" {self._name}={escape(token)}" for token in value])
        else:
            text = f" {self._name}:{written(value)}"
        return _utf8(self._field, text)


Part = tuple[bytes, str | None, Callable[[Any], Sequence[Any]], Sequence[VwTokens]]
"""One namespace of a line: how it opens, where its values stand, how they are taken, the tables that write them."""


class Plan:
    """How records of one shape become the feature part of a VW line: per namespace, its values' tables in order.

    A record is whatever the shape's fields are found in: a row of cells, or an object of values and objects of values.
    """

    def __init__(self, parts: Sequence[Part], place: str | None = None, size: int = 0) -> None:
        self._parts = parts
        self._place = place
        self._size = size

    def text_if_fits(self, record: dict[str, Any]) -> bytes | None:
        """The text, if the record is certainly of this shape: one object with exactly the plan's fields, else None.

        Far cheaper than looking the shape up, and most records have the shape of the one before.
        """
        if not self._size or len(record) != 1:
            return None
        try:
            values = record[self._place]  # type: ignore[index]
            if len(values) != self._size:
                return None
            opening, _, get, tables = self._parts[0]
            return opening + b"".join(map(getitem, tables, get(values)))
        except (KeyError, TypeError):
            return None

    def text(self, record: Any) -> bytes:
        """`|f a=x b:2 |g c:1` for a record of this shape."""
        sections = []
        for opening, place, get, tables in self._parts:
            values = get(record if place is None else record[place])
            try:
                sections.append(opening + b"".join(map(getitem, tables, values)))
            except TypeError:  # a list cannot be looked up
                sections.append(opening + b"".join(map(VwTokens.of, tables, values)))
        return b" ".join(sections)


class RowPlan(Plan):
    """The plan for rows of cells, which can also be converted many at once, column by column."""

    def __init__(self, parts: Sequence[Part], columns: Sequence[Sequence[int]]) -> None:
        super().__init__(parts)
        self._columns = columns

    def texts(self, heads: Sequence[bytes], cells: Sequence[str], period: int) -> Iterable[bytes]:
        """The line of each row: its head, then its features. `cells` are those of all rows, `period` from row to row.

        A column that holds one value only is looked up once for all rows.
        """
        pieces: list[Iterable[bytes]] = [heads]
        same = b""
        for number, ((opening, _, _, tables), columns) in enumerate(zip(self._parts, self._columns, strict=True)):
            same += b" " + opening if number else opening
            for table, index in zip(tables, columns, strict=True):
                column = cells[index::period]
                value = column[0]
                if value == column[-1] and column.count(value) == len(heads):
                    same += table[value]
                    continue
                pieces += [repeat(same), itemgetter(*column)(table)] if same else [itemgetter(*column)(table)]
                same = b""
        if same:
            pieces.append(repeat(same))
        return map(b"".join, zip(*pieces, strict=False))


class Shapes:
    """The plans for all shapes seen, made on demand. `convert` types a value; `schema` says where its field goes."""

    def __init__(self, schema: Schema, convert: Convert) -> None:
        self.convert = convert
        self._schema = schema
        self._tables: dict[tuple[str, str], VwTokens] = {}
        self._plans: dict[Hashable, Plan] = {}
        self._room = CACHED_VALUES

    def known(self, key: Hashable) -> Plan | None:
        """The plan known by `key`, if any: so that the caller need not list the fields again."""
        return self._plans.get(key)

    def row_plan(self, columns: Sequence[str]) -> RowPlan:
        """The plan for rows whose cells are these columns."""
        fields = [("", name, index) for index, name in enumerate(columns)]
        placed = self._placed(fields)
        parts = [self._part(namespace, None, part) for namespace, part in placed.items()]
        return RowPlan(parts, [[index for _, _, index in part] for part in placed.values()])

    def object_plan(self, key: Hashable, record: dict[str, Any]) -> Plan:
        """A new plan for objects like `record`, with objects in it as namespaces; known by `key` from now on."""
        if len(self._plans) >= CACHED_SHAPES or len(self._tables) >= CACHED_FIELDS:
            self._plans.clear()
            self._tables.clear()
            self._room = CACHED_VALUES
        fields: list[tuple[str, str, Hashable]] = []
        for name, value in record.items():
            if isinstance(value, dict):
                fields += [(name, field, (name, field)) for field in value]
            else:
                fields.append(("", name, (None, name)))
        placed = self._placed(fields)
        parts = [self._object_part(namespace, part) for namespace, part in placed.items()]
        place, size = self._only_place(record, parts)
        plan = self._plans[key] = Plan(parts, place, size)
        return plan

    def _only_place(self, record: dict[str, Any], parts: list[Part]) -> tuple[str | None, int]:
        """The one object that all fields of the record stand in, and how many; 0 where some are no features."""
        if len(record) != 1 or len(parts) != 1:
            return None, 0
        ((place, values),) = record.items()
        is_whole = isinstance(values, dict) and len(parts[0][3]) == len(values)
        return (place, len(values)) if is_whole and parts[0][1] == place else (None, 0)

    def remembered(self) -> None:
        """One more value is remembered; when there are too many, all are forgotten."""
        self._room -= 1
        if self._room < 0:
            for table in self._tables.values():
                table.clear()
            self._room = CACHED_VALUES

    def _placed(self, fields: Sequence[tuple[str, str, Hashable]]) -> dict[str, list[tuple[str, str, Any]]]:
        """Per namespace, in canonical order: name, field and where its value stands. At least one namespace."""
        placed = []
        for number, (namespace, field, key) in enumerate(fields):
            home = self._schema.home(field, namespace)
            if home is not None:
                placed.append((*home, number, field, key))
        parts: dict[str, list[tuple[str, str, Any]]] = {}
        for namespace, name, _, field, key in sorted(placed, key=itemgetter(0, 1, 2)):
            part = parts.setdefault(namespace, [])
            if part and part[-1][0] == name:
                raise FormatError(_twice(namespace, name))
            part.append((name, field, key))
        return parts or {"": []}

    def _object_part(self, namespace: str, part: list[tuple[str, str, Any]]) -> Part:
        places = {key[0] for _, _, key in part}
        if len(places) != 1:
            opening, _, _, tables = self._part(namespace, None, part)
            keys = [key for _, _, key in part]
            return opening, None, lambda record: [_found(record, key) for key in keys], tables
        return self._part(namespace, places.pop(), [(name, field, key[1]) for name, field, key in part])

    def _part(self, namespace: str, place: str | None, part: list[tuple[str, str, Any]]) -> Part:
        tables = [self._table(field, name) for name, field, _ in part]
        return _opening(namespace), place, _getter([key for _, _, key in part]), tables

    def _table(self, field: str, name: str) -> VwTokens:
        return self._tables.setdefault((field, name), VwTokens(field, name, self))


def features_of(
    schema: Schema, convert: Convert, fields: Iterable[tuple[str, str]], values: Iterable[Value]
) -> Features:
    """The same as typed features, in the same canonical order, for learners that read dicts. Missing ones are out."""
    placed: dict[tuple[str, str], Value] = {}
    for (namespace, field), raw in zip(fields, values, strict=True):
        home = schema.home(field, namespace)
        if home is None:
            continue
        if home in placed:
            raise FormatError(_twice(*home))
        placed[home] = convert(field, raw)
    features: Features = {}
    for (namespace, name), value in sorted(placed.items(), key=itemgetter(0)):
        if value is not None:
            features.setdefault(namespace, {})[name] = value
    return features


def _twice(namespace: str, name: str) -> str:
    return f"features: two fields are both feature {name!r} of namespace {namespace!r}; expected each once"


def _opening(namespace: str) -> bytes:
    return f"|{escape_name(namespace)}".encode() if namespace else b"|"


def _getter(keys: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda record: [record[key] for key in keys]


def _found(record: dict[str, Any], key: tuple[str | None, str]) -> Any:
    place, name = key
    return record[name] if place is None else record[place][name]


def _utf8(field: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FormatError(f"{field}: {text[:60]!r} holds half a surrogate pair, which is not text") from error
