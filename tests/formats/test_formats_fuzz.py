"""Whatever bytes come: decode never raises, says why it refuses, and lets nothing pass that VW misreads."""

import orjson
import pytest
from format_samples import PAYLOADS, build, events, features, json_payloads, moderate, names, texts, vw_lines
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vw_oracle import LEARNERS, Oracle

from formats.example import Example
from formats.labels import Labels
from formats.vw_text import escape, escape_name, unescape

LITERALS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1" * 400, b'"\\ud800"', b"\xff", b"\x00", b"[" * 5000,
    b'{"a":' * 2000, b"[" * 900 + b"]" * 900, b"1_0", b"0x1", b"'1'", b"truee", b"", b'"' + b"x" * 100_000 + b'"',
)  # fmt: skip

ORACLES = {arguments: Oracle(arguments) for arguments in LEARNERS}


def labels_for(arguments: str) -> Labels:
    if "--oaa" in arguments:
        return Labels("class", 3)
    return Labels.binary(True) if "logistic" in arguments else Labels()


@pytest.mark.parametrize("kind", PAYLOADS)
@moderate
@given(payloads=st.lists(st.one_of(json_payloads, vw_lines, st.binary(max_size=60)), max_size=5))
def test_decode_never_raises_and_every_refusal_has_a_reason(kind: str, payloads: list[bytes]) -> None:
    for reads in ("text", "features"):
        decoded = build(kind, reads).decode(payloads)
        assert all(len(dead.reason) > 10 for dead in decoded.dead)
        assert [dead.index for dead in decoded.dead] == sorted({dead.index for dead in decoded.dead})


@moderate
@given(event=events, data=st.data())
def test_a_damaged_event_never_raises(event: dict[str, object], data: st.DataObject) -> None:
    payload = orjson.dumps(event)
    cut = data.draw(st.integers(0, len(payload)))
    junk = data.draw(st.one_of(st.sampled_from(LITERALS), st.binary(max_size=3)))
    until = data.draw(st.integers(cut, len(payload)))
    decoded = build("json").decode([payload[:cut] + junk + payload[until:]])
    assert all(dead.reason for dead in decoded.dead)


@pytest.mark.parametrize("literal", LITERALS)
@pytest.mark.parametrize("field", ["label", "weight", "ts", "id", "features"])
def test_a_literal_out_of_this_world_is_refused_in_every_field(field: str, literal: bytes) -> None:
    event = b'{"features": {"a": 1}, "%s": %s}' % (field.encode(), literal)
    decoded = build("json").decode([event])
    if field != "id" or not literal.startswith(b'"x'):
        assert decoded.examples == []
        assert len(decoded.dead[0].reason) < 500


@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "1_0", "0x10", "1e16", "9" * 400, "Infinity", "١"])
@pytest.mark.parametrize("place", ["label", "feature"])
def test_no_format_lets_a_number_pass_that_is_none(kind: str, number: str, place: str) -> None:
    label, value = (number, "1") if place == "label" else ("1", number)
    payload = {
        "json": f'{{"label": {label}, "features": {{"a": {value}}}}}',
        "vw": f"{label} |f a:{value}",
        "csv": f"{label},{value},x",
    }[kind]
    decoded = build(kind).decode([payload.encode()])
    assert decoded.examples == [] or (kind == "csv" and f"a={number}" in decoded.examples[0].text.decode())


@pytest.mark.parametrize("arguments", LEARNERS)
@pytest.mark.parametrize("kind", PAYLOADS)
@moderate
@given(data=st.data())
def test_vw_takes_every_accepted_line_without_a_warning(kind: str, arguments: str, data: st.DataObject) -> None:
    oracle = ORACLES[arguments]
    payload = data.draw(PAYLOADS[kind])
    decoded = build(kind, kinds=labels_for(arguments)).decode([payload])
    for example in decoded.examples:
        before = len(oracle.warnings())
        assert len(oracle.vw._parse(example.text)) == 1
        oracle.read(example.text)
        assert oracle.warnings()[before:] == []


def ordinary(example: Example) -> bool:
    return example.weight <= 1000.0 and (not isinstance(example.label, float) or abs(example.label) <= 1000.0)


@pytest.mark.parametrize("arguments", LEARNERS)
@settings(moderate, max_examples=40)
@given(
    label=st.sampled_from([1, 2, 3]),
    values=st.lists(st.one_of(st.floats(-1e15, 1e15), st.sampled_from([1e15, -1e15, 1e-9, 447])), max_size=4),
)
def test_accepted_values_leave_finite_weights(arguments: str, label: int, values: list[float]) -> None:
    assume(all(value == 0 or abs(value) >= 1e-9 for value in values))  # --coin squares what it divides by
    label = 1 if "logistic" in arguments else label
    event = orjson.dumps({"label": label, "features": {f"x{i}": value for i, value in enumerate(values)}})
    decoded = build("json", kinds=labels_for(arguments)).decode([event, event])
    oracle = Oracle(arguments)
    for example in decoded.examples:
        assert ordinary(example)
        oracle.learn(example.text)
    assert len(decoded.examples) == 2
    assert oracle.is_finite()


def meant(features: dict[str, object]) -> dict[str, int]:
    """Features per first byte of a namespace that VW should find: it drops zeros, and reads blank for no name."""
    counts: dict[str, int] = {}
    for name, value in features.items():
        inner = value if isinstance(value, dict) else {name: value}
        namespace = escape_name(name).encode()[:1].decode("latin-1") if isinstance(value, dict) and name else " "
        for one in inner.values():
            tokens = len(one) if isinstance(one, list) else one is not None and (isinstance(one, str) or one != 0)
            counts[namespace] = counts.get(namespace, 0) + int(tokens)
    return {namespace: count for namespace, count in counts.items() if count}


def is_read(value: object) -> bool:
    """Not a number so small that float32 has none of it, which VW drops like zero."""
    if isinstance(value, dict):
        return all(map(is_read, value.values()))
    return not isinstance(value, float) or value == 0 or abs(value) > 1e-15


@moderate
@given(features=features)
def test_vw_finds_the_features_that_were_meant_and_no_others(features: dict[str, object]) -> None:
    assume(all(map(is_read, features.values())))
    decoded = build("json").decode([orjson.dumps({"features": features})])
    for example in decoded.examples:
        assert ORACLES[""].read(example.text) == meant(features)


@moderate
@given(value=st.floats(-1e15, 1e15))
def test_vw_reads_the_number_that_was_written(value: float) -> None:
    (example,) = build("json").decode([orjson.dumps({"features": {"f": {"a": value}}})]).examples
    read = ORACLES[""].values(example.text, "f")
    assert read == pytest.approx([value], rel=1e-5) or (read == [] and abs(value) < 1e-20)


@moderate
@given(text=st.from_regex(r"-?[0-9]{0,20}\.?[0-9]{0,40}(e[-+]?[0-9]{1,3})?", fullmatch=True))
def test_vw_reads_the_number_that_was_accepted(text: str) -> None:
    for example in build("vw").decode([f"1 |f a:{text}".encode()]).examples:
        read = ORACLES[""].values(example.text, "f")
        assert read == pytest.approx([float(text)], rel=1e-5) or (read == [] and abs(float(text)) < 1.0001e-20)


@moderate
@given(text=texts)
def test_unescape_gives_back_what_was_escaped(text: str) -> None:
    assert unescape(escape(text)) == text
    assert unescape(escape_name(text)) == text


@moderate
@given(one=texts, other=texts)
def test_different_values_and_names_stay_different(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)
    assert (escape_name(one) == escape_name(other)) == (one == other)


@moderate
@given(name=names, value=texts, other_name=names, other_value=texts)
def test_no_two_pairs_of_name_and_value_make_the_same_feature(
    name: str, value: str, other_name: str, other_value: str
) -> None:
    tokens = [
        build("json").decode([orjson.dumps({"features": {key: text}})]).examples[0].text
        for key, text in ((name, value), (other_name, other_value))
    ]
    assert (tokens[0] == tokens[1]) == ((name, value) == (other_name, other_value))
