"""What a payload decodes to depends on that payload alone."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from format_samples import PAYLOADS, TYPED, build, events, moderate, only, shown, vw_lines
from hypothesis import given
from hypothesis import strategies as st

from formats.example import FormatError
from formats.format import Format
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.schema import Field, Schema
from formats.vw_text import Reads

SETUPS: dict[str, tuple[str, Reads, Schema | None, Labels]] = {
    "json": ("json", "text", None, Labels()),
    "json features": ("json", "features", None, Labels()),
    "json typed": ("json", "text", TYPED, Labels("number", 0, {"YES": 1.0, "1": 1.0, "-1": -1.0})),
    "json binary": ("json", "text", None, Labels.binary(True)),
    "json class": ("json", "text", None, Labels("class", 3)),
    "json text": ("json", "text", None, Labels("text")),
    "vw": ("vw", "text", None, Labels()),
    "vw features": ("vw", "features", None, Labels()),
    "vw class": ("vw", "text", None, Labels("class", 3)),
    "vw bandit": ("vw", "text", None, Labels("bandit")),
    "csv": ("csv", "text", None, Labels()),
    "csv features": ("csv", "features", None, Labels()),
    "csv typed": ("csv", "text", TYPED, Labels.binary(False)),
}


def alone(setup: str, payload: bytes) -> list[object]:
    return shown(build(*SETUPS[setup]).decode([payload]))


def together(format_: Format, payloads: Sequence[bytes]) -> list[list[object]]:
    """Per payload what it gave within the batch; envelopes give several examples, so they are counted first."""
    decoded = format_.decode(payloads)
    reasons = {dead.index: dead for dead in decoded.dead}
    assert sorted(reasons) == [dead.index for dead in decoded.dead]
    rest = iter(decoded.examples)
    found: list[list[object]] = []
    for index, payload in enumerate(payloads):
        if index in reasons:
            found.append([repr(reasons[index]).replace(f"index={index}", "index=0")])
        else:
            count = len(format_.decode([payload]).examples)
            found.append([repr(next(rest)) for _ in range(count)])
    assert list(rest) == []
    return found


@pytest.mark.parametrize("setup", SETUPS)
@moderate
@given(data=st.data())
def test_a_verdict_depends_neither_on_the_batch_nor_on_what_was_decoded_before(setup: str, data: st.DataObject) -> None:
    payloads = data.draw(st.lists(PAYLOADS[SETUPS[setup][0]], min_size=1, max_size=6))
    used = build(*SETUPS[setup])
    used.decode(data.draw(st.permutations(payloads)))
    assert together(used, payloads) == [alone(setup, payload) for payload in payloads]


@pytest.mark.parametrize("label", [1, 1.0, True, "1", 0, -0.0, False, "true"])
@pytest.mark.parametrize("before", [1, 1.0, True, "1", 0, -0.0, False, "true"])
@pytest.mark.parametrize("names", [{}, {"1": 1.0, "0": -1.0}, {"true": 1.0, "false": -1.0}])
def test_a_label_means_the_same_after_any_other(label: object, before: object, names: dict[str, float]) -> None:
    payload = orjson.dumps({"label": label, "features": {"a": 1}})
    used = JsonEvent(Labels("number", 0, names))
    used.decode([orjson.dumps({"label": before, "features": {"a": 1}})])
    assert used.decode([payload]) == JsonEvent(Labels("number", 0, names)).decode([payload])


@pytest.mark.parametrize("kind", [None, "number", "category", "boolean", "tokens"])
@pytest.mark.parametrize("value", [1, 1.0, True, "1", 0, -0.0, False, "true", ["1"], None])
def test_a_value_is_written_the_same_after_any_other(kind: Any, value: object) -> None:
    schema = Schema(fields={"a": Field(type=kind)})
    payload = orjson.dumps({"features": {"a": value}})
    used = JsonEvent(Labels(), schema)
    used.decode([orjson.dumps({"features": {"a": other}}) for other in (1, 1.0, True, "1", 0, -0.0, False, "true")])
    assert used.decode([payload]) == JsonEvent(Labels(), schema).decode([payload])


@moderate
@given(line=vw_lines)
def test_what_the_fast_path_of_vw_text_accepts_the_exact_parser_accepts_alike(line: bytes) -> None:
    format_ = build("vw")
    decoded = format_.decode([line])
    for example in decoded.examples:
        exact = build("vw")._exact(line)  # type: ignore[attr-defined]
        assert (exact.label, exact.weight, exact.text) == (example.label, example.weight, example.text)
    if decoded.dead:
        with pytest.raises(FormatError):
            build("vw")._exact(line)  # type: ignore[attr-defined]


def reordered(value: Any, draw: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: reordered(value[name], draw) for name in draw(st.permutations(list(value)))}


@pytest.mark.parametrize("reads", ["text", "features"])
@pytest.mark.parametrize("schema", [None, TYPED, Schema(namespaces={"f": ["a"], "a": ["b"]}, unlisted="drop")])
@moderate
@given(event=events, data=st.data())
def test_the_order_of_the_keys_changes_nothing(
    reads: Reads, schema: Schema | None, event: dict[str, Any], data: st.DataObject
) -> None:
    other = orjson.dumps(reordered(event, data.draw))
    one, two = (build("json", reads, schema).decode([payload]) for payload in (orjson.dumps(event), other))
    assert len(one.dead) == len(two.dead)
    assert list(map(repr, one.examples)) == list(map(repr, two.examples))


@pytest.mark.parametrize("kind", ["json", "csv", "vw"])
@pytest.mark.parametrize("schema", [None, TYPED])
@moderate
@given(data=st.data())
def test_learners_of_text_and_of_features_accept_the_same_events(
    kind: str, schema: Schema | None, data: st.DataObject
) -> None:
    payload = data.draw(PAYLOADS[kind])
    text, features = (build(kind, reads, schema).decode([payload]) for reads in ("text", "features"))
    assert len(text.dead) == len(features.dead)
    known = [[(e.label, e.weight, e.id, e.time_s) for e in decoded.examples] for decoded in (text, features)]
    assert known[0] == known[1]
    assert all(example.features == {} for example in text.examples)
    assert all(example.text == b"" for example in features.examples)


def test_a_feature_named_twice_is_refused_because_no_order_could_be_right() -> None:
    schema = Schema(namespaces={"f": ["a"]})
    payload = b'{"features": {"a": 1, "f": {"a": 2}}}'
    for reads in ("text", "features"):
        (dead,) = build("json", reads, schema).decode([payload]).dead
        assert "feature 'a' of namespace 'f'" in dead.reason


def test_a_value_list_beside_known_values_changes_neither() -> None:
    format_ = build("json")
    payload = b'{"features": {"a": ["x", "y"], "b": 1}}'
    before = only(format_.decode([payload])).text
    format_.decode([b'{"features": {"a": "x", "b": true}}'])
    assert only(format_.decode([payload])).text == before == b"| a=x a=y b:1"
