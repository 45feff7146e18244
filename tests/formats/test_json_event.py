"""JSON events: canonical, flat, envelopes, bandits."""

import io

import orjson
import pytest
from format_samples import only, reason

from formats.example import Bandit, FormatError
from formats.json_event import MAX_ENVELOPE, JsonEvent
from formats.labels import Labels
from formats.schema import Field, Schema

BANDIT = b"""{"id": "d-1", "shared": {"user": {"age": 30}}, "actions": [{"color": "red"}, {"color": "blue"}],
              "label": {"action": 2, "cost": -1.0, "probability": 0.25}}"""


def split(data: bytes) -> list[bytes]:
    return list(JsonEvent(Labels()).split(io.BytesIO(data)))


def test_a_canonical_event_becomes_one_line_in_canonical_order() -> None:
    event = {
        "id": "f-123",
        "ts": 1.7e9,
        "label": 1,
        "weight": 2.0,
        "features": {"flight": {"Origin": "MCO", "Distance": 1848.0}, "Carrier": "WN", "late": True},
    }
    example = only(JsonEvent(Labels()).decode([orjson.dumps(event)]))
    assert example.text == b"1 2 | Carrier=WN late:1 |flight Distance:1848 Origin=MCO"
    assert (example.label, example.weight, example.id, example.time_s) == (1.0, 2.0, "f-123", 1.7e9)


@pytest.mark.parametrize("event", [b'{"id": "", "features": {}}', b'{"id": null, "features": {}}'])
def test_an_empty_id_is_none(event: bytes) -> None:
    assert only(JsonEvent(Labels()).decode([event])).id is None
    flat = JsonEvent(Labels(), Schema(label="y", id="id"))
    assert only(flat.decode([event.replace(b'"features": {}', b'"y": 1')])).id is None


def test_the_same_event_as_features_has_typed_values() -> None:
    event = b'{"features": {"f": {"a": "x", "n": null}, "t": ["p", "q"], "b": true, "i": 3}}'
    example = only(JsonEvent(Labels(), reads="features").decode([event]))
    assert example.features == {"": {"b": 1.0, "i": 3.0, "t": ["p", "q"]}, "f": {"a": "x"}}


def test_missing_values_and_empty_namespaces_leave_no_feature() -> None:
    event = b'{"label": 1, "features": {"a": null, "f": {}, "g": {"b": null}, "t": []}}'
    assert only(JsonEvent(Labels()).decode([event])).text.split() == [b"1", b"|", b"|g"]


def test_a_flat_record_is_read_by_its_schema() -> None:
    schema = Schema(label="y", weight="w", id="key", time="at", labels={"YES": 1, "NO": -1}, namespaces={"f": ["a"]})
    event = b'{"y": "NO", "w": 3, "key": 17, "at": "2024-01-01T00:00:00", "a": 1, "b": "x"}'
    example = only(JsonEvent(Labels("number", 0, dict(schema.labels)), schema).decode([event]))
    assert example.text == b"-1 3 | b=x |f a:1"
    assert (example.id, example.time_s) == ("17", 1704067200.0)


def test_a_canonical_event_may_carry_its_label_among_the_features() -> None:
    schema = Schema(label="y")
    example = only(JsonEvent(Labels(), schema).decode([b'{"features": {"f": {"y": 2, "a": 1}}}']))
    assert (example.label, example.text) == (2.0, b"2 |f a:1")


def test_a_field_known_only_after_the_fact_is_no_feature() -> None:
    schema = Schema(fields={"delay": Field(available_at="label")})
    example = only(JsonEvent(Labels(), schema).decode([b'{"features": {"delay": 9, "a": 1}}']))
    assert example.text == b"| a:1"


@pytest.mark.parametrize("joint", [b",", b"\n", b"\r\n", b"\n\n"])
def test_an_envelope_is_decoded_whole(joint: bytes) -> None:
    items = [b'{"label": %d, "features": {"a": %d}}' % (number, number) for number in range(3)]
    payload = b"[" + joint.join(items) + b"]" if joint == b"," else joint.join(items)
    decoded = JsonEvent(Labels()).decode([payload])
    assert [example.text for example in decoded.examples] == [b"0 | a:0", b"1 | a:1", b"2 | a:2"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'[{"features": {}}, {"features": {"a": {"b": {}}}}]', ["[1]", "b", "{}"]),
        (b'[{"features": {}}, 7]', ["[1]", "object", "int"]),
        (b'{"features": {}}\n{"features": 7}', ["[1]", "features", "object", "int"]),
        (b'{"features": {}}\n{"features"', ["lines of JSON"]),
        (b"[[]]", ["[0]", "object", "list"]),
        (b"[" + b"{}," * MAX_ENVELOPE + b"{}]", [str(MAX_ENVELOPE), str(MAX_ENVELOPE + 1)]),
    ],
)
def test_an_envelope_with_one_bad_event_is_dead_as_a_whole_and_says_which(payload: bytes, words: list[str]) -> None:
    said = reason(JsonEvent(Labels()).decode([payload]))
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", ["JSON"]),
        (b"7", ["object", "int"]),
        (b'{"label": 1}', ["features", "schema.label"]),
        (b'{"features": []}', ["features", "object", "list"]),
        (b'{"features": {"f": {"a": {"b": 1}}}}', ["a", "{'b': 1}", "expected"]),
        (b'{"features": {"a": [1, 2]}}', ["a", "[1, 2]", "list of text"]),
        (b'{"features": {"a": 1e16}}', ["a", "1e+16", "1e+15"]),
        (b'{"label": "YES", "features": {}}', ["label", "'YES'", "a number"]),
        (b'{"label": 1, "weight": -1, "features": {}}', ["weight", "-1", "0 to"]),
        (b'{"label": 1, "weight": "2", "features": {}}', ["weight", "'2'", "a number"]),
        (b'{"ts": "yesterday", "features": {}}', ["ts", "'yesterday'", "ISO 8601"]),
        (b'{"id": 1.5, "features": {}}', ["id", "1.5", "text"]),
        (b'{"actions": {}}', ["actions", "list"]),
        (b'{"actions": [{}], "shared": 7}', ["shared", "object", "int"]),
    ],
)
def test_a_refusal_names_field_value_and_what_was_expected(payload: bytes, words: list[str]) -> None:
    said = reason(JsonEvent(Labels()).decode([payload]))
    assert all(word in said for word in words), said


def test_a_bandit_event_has_its_label_on_the_line_of_the_action_taken() -> None:
    example = only(JsonEvent(Labels("bandit")).decode([BANDIT]))
    assert example.text == b"shared |user age:30\n| color=red\n2:-1:0.25 | color=blue"
    assert example.label == Bandit(2, -1.0, 0.25)
    features = only(JsonEvent(Labels("bandit"), reads="features").decode([BANDIT]))
    assert features.actions == [{"": {"color": "red"}}, {"": {"color": "blue"}}]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"action": 3, "cost": 1, "probability": 0.5}, ["label.action", "3", "2 actions"]),
        ({"action": 0, "cost": 1, "probability": 0.5}, ["label.action", "0", "first one is 1"]),
        ({"action": 1, "cost": 1, "probability": 0}, ["label.probability", "0", "(0, 1]"]),
        ({"action": 1, "cost": 1, "probability": 1.5}, ["label.probability", "1.5"]),
        ({"action": 1, "cost": 1e300, "probability": 1}, ["label.cost", "1e+300"]),
        ({"action": 1}, ["label", "cost"]),
        (1, ["label", "object"]),
    ],
)
def test_a_bandit_label_that_cannot_be_is_refused(label: object, words: list[str]) -> None:
    event = orjson.loads(BANDIT) | {"label": label}
    said = reason(JsonEvent(Labels("bandit")).decode([orjson.dumps(event)]))
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("data", "items"),
    [
        (b'{"a":1}\n\n{"a":2}', [b'{"a":1}', b'{"a":2}']),
        (b'{"a":1}\r\n{"a":2}\r\n', [b'{"a":1}', b'{"a":2}']),
        (b'[{"a":1},\n {"a":2}]', [b'{"a":1}', b'{"a":2}']),
        (b'{\n  "a": 1\n}\n', [b'{"a":1}']),
        (b'\n \n{"a":1}', [b'{"a":1}']),
        (b"", []),
        (b"\n\n", []),
        (b'{"a":1}\nnonsense\n{"a":2}', [b'{"a":1}', b"nonsense", b'{"a":2}']),
        (b"nonsense\n", [b"nonsense"]),
    ],
)
def test_a_file_is_cut_into_its_events(data: bytes, items: list[bytes]) -> None:
    assert split(data) == items


def test_a_label_is_joined_to_an_event_without_one() -> None:
    format_ = JsonEvent(Labels())
    joined = format_.labelled(b'{"id": "a", "features": {"x": 1}}', 1)
    assert only(format_.decode([joined])).text == b"1 | x:1"
    flat = JsonEvent(Labels(), Schema(label="y"))
    assert only(flat.decode([flat.labelled(b'{"x": 1}', 0.5)])).text == b"0.5 | x:1"


@pytest.mark.parametrize(
    ("payload", "label", "words"),
    [
        (b'{"label": 0, "features": {}}', 1, ["label", "0", "already"]),
        (b'{"features": {}}', "YES", ["label", "'YES'"]),
        (b"[]", 1, ["label", "envelope"]),
        (b"{", 1, ["JSON"]),
    ],
)
def test_a_label_that_cannot_be_joined_is_refused(payload: bytes, label: object, words: list[str]) -> None:
    with pytest.raises(FormatError) as caught:
        JsonEvent(Labels()).labelled(payload, label)
    assert all(word in str(caught.value) for word in words), caught.value
