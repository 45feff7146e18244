"""The schema: labels, types, names, namespaces, and what contradicts itself."""

from typing import Any

import msgspec
import orjson
import pytest
from format_samples import build, only, reason

from formats.example import FormatError, LabelKind
from formats.labels import Labels
from formats.schema import Field, FieldType, Schema, SchemaError


def text(schema: Schema, **features: Any) -> bytes:
    return only(build("json", "text", schema).decode([orjson.dumps({"features": features})])).text


def test_fields_are_dropped_renamed_and_grouped() -> None:
    schema = Schema(drop=["tail"], fields={"dist": Field(rename="km")}, namespaces={"f": ["dist", "from"], "g": ["to"]})
    assert (
        text(schema, tail="N1", dist=5, to="JFK", **{"from": "MCO"}, other=1) == b"| other:1 |f from=MCO km:5 |g to=JFK"
    )


def test_unlisted_fields_can_be_left_out() -> None:
    schema = Schema(namespaces={"f": ["a"]}, unlisted="drop")
    assert text(schema, a=1, b=2, g={"c": 3}) == b"|f a:1"


def test_label_weight_id_and_time_are_no_features() -> None:
    schema = Schema(label="y", weight="w", id="i", time="t")
    assert text(schema, w=2, i="x", t=5, a=1) == b"| a:1"


@pytest.mark.parametrize(
    ("kind", "value", "token"),
    [
        ("number", "1.5", b"a:1.5"),
        ("number", True, b"a:1"),
        ("category", 7, b"a=7"),
        ("category", 7.0, b"a=7"),
        ("category", "7", b"a=7"),
        ("boolean", "Yes", b"a:1"),
        ("boolean", 0, b"a:0"),
        ("boolean", "f", b"a:0"),
        ("tokens", "to be or", b"a=to a=be a=or"),
        ("tokens", ["to be"], b"a=to%20be"),
        (None, "7", b"a=7"),
        (None, 7, b"a:7"),
    ],
)
def test_a_type_says_how_a_value_is_read(kind: FieldType | None, value: object, token: bytes) -> None:
    assert text(Schema(fields={"a": Field(type=kind)}), a=value) == b"| " + token


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("number", "abc", ["'abc'", "finite number"]),
        ("number", ["1"], ["['1']", "a number"]),
        ("category", ["x"], ["['x']"]),
        ("boolean", 2, ["2", "a boolean"]),
        ("boolean", "maybe", ["'maybe'", "a boolean"]),
        ("tokens", 5, ["5", "list of text"]),
        ("tokens", [5], ["[5]", "list of text"]),
        (None, {"x": {}}, ["{}", "expected"]),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind: FieldType | None, value: object, words: list[str]) -> None:
    schema = Schema(fields={"a": Field(type=kind), "x": Field(type=kind)})
    said = reason(build("json", "text", schema).decode([orjson.dumps({"features": {"a": value}})]))
    assert said.startswith(("a: ", "x: "))
    assert all(word in said for word in words), said


def test_texts_listed_as_missing_are_no_values() -> None:
    assert text(Schema(missing=["NA", ""]), a="NA", b="", c="x") == b"| c=x"
    assert text(Schema(), a="NA", b="") == b"| a=NA b="


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"namespaces": {"f": ["a"], "g": ["a"]}}, ["schema.namespaces", "'a'", "'f'", "'g'"]),
        ({"namespaces": {"f": ["a"]}, "drop": ["a"]}, ["schema.namespaces.f", "'a'", "schema.drop"]),
        ({"namespaces": {"f": ["y"]}, "label": "y"}, ["schema.namespaces.f", "'y'", "label"]),
        ({"namespaces": {"f": ["w"]}, "weight": "w"}, ["schema.namespaces.f", "'w'", "schema.weight"]),
        ({"namespaces": {"f": ["i"]}, "id": "i"}, ["schema.namespaces.f", "'i'", "schema.id"]),
        ({"namespaces": {"f": ["t"]}, "time": "t"}, ["schema.namespaces.f", "'t'", "schema.time"]),
        ({"namespaces": {"f": ["a"]}, "fields": {"a": Field(available_at="label")}}, ["'a'", "available_at"]),
        ({"label": "y", "weight": "y"}, ["schema.weight", "'y'", "schema.label"]),
        ({"fields": {"a": Field(rename="b"), "c": Field(rename="b")}}, ["schema.fields", "'b'", "'a'", "'c'"]),
    ],
)
def test_a_contradiction_names_the_setting_and_the_field(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema(**settings)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="lable"):
        msgspec.convert({"lable": "y"}, Schema)
    with pytest.raises(msgspec.ValidationError, match="typ"):
        msgspec.convert({"fields": {"a": {"typ": "number"}}}, Schema)


@pytest.mark.parametrize(
    ("raw", "value"), [("YES", 1.0), ("NO", -1.0), (1, 7.0), (1.0, 7.0), (True, 7.0), ("1", 7.0), (None, None)]
)
def test_names_of_labels_are_mapped(raw: object, value: float | None) -> None:
    assert Labels("number", 0, {"YES": 1.0, "NO": -1.0, "1": 7.0}).value(raw) == value


@pytest.mark.parametrize("raw", ["yes", "2", 2, 0.5, ["YES"], ""])
def test_a_label_without_a_name_is_refused_and_the_names_are_listed(raw: object) -> None:
    with pytest.raises(FormatError, match="is not one of the labels") as caught:
        Labels("number", 0, {"YES": 1.0, "NO": -1.0}).value(raw)
    assert "NO, YES" in str(caught.value)
    assert repr(raw) in str(caught.value)


@pytest.mark.parametrize("raw", [True, 1, 1.0, "1", "true"])
@pytest.mark.parametrize("is_signed", [True, False])
def test_binary_labels_are_written_as_the_learner_takes_them(raw: object, is_signed: bool) -> None:
    labels = Labels.binary(is_signed)
    assert labels.value(raw) == 1.0
    assert labels.value(False) == labels.value(0) == (-1.0 if is_signed else 0.0)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("number", "1"), ("number", float("nan")), ("number", float("inf")), ("number", 1e16), ("number", []),
        ("class", 1.5), ("class", -1), ("class", 4), ("class", "1"),
        ("bandit", 1), ("bandit", {"action": 1, "cost": float("nan"), "probability": 0.5}),
        ("bandit", {"action": 1, "cost": 1.0, "probability": float("nan")}),
        ("text", 1), ("text", ""), ("text", " "), ("text", "a|b"), ("text", "a\nb"), ("text", "a\tb"),
        ("text", "1:inf"),
    ],
)  # fmt: skip
def test_a_label_of_another_kind_is_refused(kind: LabelKind, raw: object) -> None:
    with pytest.raises(FormatError, match="label"):
        Labels(kind, 3).value(raw)
