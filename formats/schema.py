"""The schema: which field of a record is the label, which are features, of what type and in which namespace.

Applied alike to flat records (CSV rows, flat JSON) and to canonical events. Knows neither of them, nor VW.
"""

from typing import Literal

import msgspec

from formats.example import FormatError, Value
from formats.numbers import is_number_text, number, number_text, shown, written

FieldType = Literal["number", "category", "boolean", "tokens"]

_SURELY_SMALL = 15
"""Digits of which fewer are never too large a number."""

_TRUE = frozenset({"true", "1", "yes", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "f", "n"})


class SchemaError(ValueError):
    """A schema that contradicts itself. The message names the setting and the field."""


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the schema says of one field. Without a type, a value keeps the type that it arrives with."""

    type: FieldType | None = None
    rename: str | None = None
    available_at: Literal["event", "label"] = "event"


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[schema]` section. Every setting has a default; without any, canonical events need no schema at all.

    `label`, `weight`, `id` and `time` name fields of flat records. `labels` maps label values to what is learnt.
    `drop` leaves fields out. `namespaces` groups fields; `unlisted` says where the others go: to the default
    namespace, or nowhere. A field with `available_at = "label"` is known only after the fact and never a feature.
    `missing` lists texts that mean: no value; by default that is an empty CSV cell, and no text in JSON.
    """

    label: str | None = None
    labels: dict[str, float] = {}
    weight: str | None = None
    id: str | None = None
    time: str | None = None
    drop: list[str] = []
    missing: list[str] | None = None
    unlisted: Literal["default", "drop"] = "default"
    namespaces: dict[str, list[str]] = {}
    fields: dict[str, Field] = {}

    def __post_init__(self) -> None:
        homes: dict[str, str] = {}
        for namespace, names in self.namespaces.items():
            for name in names:
                if name in homes:
                    raise SchemaError(f"schema.namespaces: {name!r} is in both {homes[name]!r} and {namespace!r}")
                homes[name] = namespace
                self._check_feature(namespace, name)
        for role in ("weight", "id", "time"):
            if self.label is not None and getattr(self, role) == self.label:
                raise SchemaError(f"schema.{role}: {self.label!r} is also schema.label; one field cannot be both")
        self._check_names()

    def _check_feature(self, namespace: str, name: str) -> None:
        where = f"schema.namespaces.{namespace}: {name!r}"
        if name in self.drop:
            raise SchemaError(f"{where} is also in schema.drop; take it out of one")
        for role in ("label", "weight", "id", "time"):
            if name == getattr(self, role):
                raise SchemaError(f"{where} is also schema.{role}, and cannot be a feature")
        if self.fields.get(name, Field()).available_at == "label":
            raise SchemaError(f'{where} is known only after the fact (available_at = "label"), so not a feature')

    def _check_names(self) -> None:
        """No two fields that the schema knows may become the same feature."""
        known = [*self.fields, *(name for names in self.namespaces.values() for name in names)]
        taken: dict[tuple[str, str], str] = {}
        for name in dict.fromkeys(known):
            home = self.home(name)
            if home is not None and taken.setdefault(home, name) != name:
                raise SchemaError(
                    f"schema.fields: {taken[home]!r} and {name!r} are both feature {home[1]!r}; rename one"
                )

    def home(self, name: str, namespace: str = "") -> tuple[str, str] | None:
        """Namespace and feature name of a field, or None if it is no feature."""
        field = self.fields.get(name, Field())
        if name in self.drop or name in (self.label, self.weight, self.id, self.time) or field.available_at == "label":
            return None
        for home, names in self.namespaces.items():
            if name in names:
                return home, field.rename or name
        if self.namespaces and self.unlisted == "drop":
            return None
        return namespace, field.rename or name

    def is_missing(self, cell: str) -> bool:
        """Whether a CSV cell holds no value."""
        return not cell if self.missing is None else cell in self.missing

    def value(self, name: str, raw: Value) -> Value:
        """The value of a field from JSON, typed and checked. Raises FormatError naming field, value and type."""
        if raw is None or (self.missing is not None and isinstance(raw, str) and raw in self.missing):
            return None
        match self.fields.get(name, Field()).type:
            case "number":
                return number_text(raw, name) if isinstance(raw, str) else number(raw, name)
            case "category":
                return raw if isinstance(raw, str) else written(number(raw, name))
            case "boolean":
                return _boolean(name, raw)
            case "tokens":
                return raw.split() if isinstance(raw, str) else _tokens(name, raw)
            case None:
                return _as_it_is(name, raw)

    def cell(self, name: str, text: str) -> Value:
        """The value of a CSV cell: without a type, text that is written as a number is one."""
        if not text if self.missing is None else text in self.missing:
            return None
        field = self.fields.get(name)
        if field is not None and field.type is not None:
            return self.value(name, text)
        if text.isdecimal() and len(text) < _SURELY_SMALL and text.isascii():
            return float(text)
        if not is_number_text(text):
            return text
        try:
            return number(float(text), name)
        except FormatError:
            return text


def _as_it_is(name: str, raw: Value) -> Value:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int | float):
        return number(raw, name)
    if isinstance(raw, list):
        return _tokens(name, raw)
    raise FormatError(f"{name}: expected text, a number, a boolean or a list of text, got {shown(raw)}")


def _boolean(name: str, raw: Value) -> bool:
    if isinstance(raw, int | float) and raw in (0, 1):
        return bool(raw)
    text = raw.lower() if isinstance(raw, str) else ""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise FormatError(f"{name}: expected a boolean, got {shown(raw)}")


def _tokens(name: str, raw: Value) -> list[str]:
    if isinstance(raw, list) and all(isinstance(token, str) for token in raw):
        return raw
    raise FormatError(f"{name}: expected a list of text, got {shown(raw)}")
