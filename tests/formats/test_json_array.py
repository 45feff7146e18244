import io
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.example import FormatError
from formats.json_array import MAX_VALUE_BYTES, array_items
from formats.json_event import JsonEvent
from formats.labels import Labels

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('ab"\\[]{},\n é', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('k"]}', max_size=3), inner, max_size=4),
)


class Trickle(io.BytesIO):
    """Gives as few bytes as it may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(1)


def items(text: bytes) -> list[bytes]:
    return list(JsonEvent(Labels("number", 0)).split(io.BytesIO(text)))


@given(value=st.lists(VALUE, max_size=6), indent=st.none() | st.integers(0, 2))
def test_an_array_is_cut_where_a_parser_of_the_whole_cuts_it(value: list[object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert [orjson.loads(item) for item in array_items(text[:1], Trickle(text[1:]))] == value


@pytest.mark.parametrize("text", [b"[]", b"[ ]", b"[\n]\n", b" \n\n[]"])
def test_an_empty_array_has_no_items(text: bytes) -> None:
    assert items(text) == []


def test_an_item_that_is_no_json_stays_for_the_decoder_to_refuse() -> None:
    assert items(b'[{"a": 1}, nonsense, {"b": 2}]') == [b'{"a":1}', b"nonsense", b'{"b":2}']


@pytest.mark.parametrize(
    ("text", "said", "before"),
    [
        (b'[{"a": 1},\n{"b": 2}', "not closed after item 2", 1),
        (b'[{"a": 1}, {"b": "x', "not closed after item 2", 1),
        (b'[{"a": 1}]\n{"b": 2}\n', "after the array comes", 1),
        (b'[1, "' + b"x" * (MAX_VALUE_BYTES + 70_000) + b'"]', "item 2 of the array has no end within", 1),
    ],
)
def test_what_cannot_be_cut_is_said_after_the_items_before_it(text: bytes, said: str, before: int) -> None:
    found = []
    with pytest.raises(FormatError, match=said):
        found.extend(JsonEvent(Labels("number", 0)).split(io.BytesIO(text)))
    assert len(found) == before


def test_an_array_is_not_read_further_than_its_items_are_asked_for() -> None:
    stream = io.BytesIO(b"[" + b'{"a": 1},\n' * 1_000_000 + b"{}]")
    split = JsonEvent(Labels("number", 0)).split(stream)
    assert next(split) == b'{"a":1}'
    assert stream.tell() < 200_000


def test_a_first_line_that_is_no_json_does_not_take_the_rest_with_it() -> None:
    lines = [b'{"a": 1}'] * 2_000_000
    split = JsonEvent(Labels("number", 0)).split(io.BytesIO(b"nonsense\n" + b"\n".join(lines)))
    assert next(split) == b"nonsense"
    assert sum(1 for _ in split) == len(lines)


def test_one_value_over_several_lines_is_one_event() -> None:
    assert items(b'{\n "a": 1,\n "b": [2]\n}\n') == [b'{"a":1,"b":[2]}']
