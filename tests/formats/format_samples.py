"""Payloads, schemas and hypothesis strategies that the format tests share."""

import string
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st

from formats.csv_row import CsvRow
from formats.example import Decoded, Example
from formats.format import Format
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.schema import Field, Schema
from formats.vw_text import Reads, VwText

moderate = settings(max_examples=150, deadline=None)

# Values that a cache could mistake for one another, and values that formats like to trip over.
awkward_values = st.sampled_from(
    [1, 1.0, True, "1", 0, -0.0, 0.0, False, "0", "", "true", None, 2**53, 2**53 + 1, 1e15, 1e16, 1e-300, [],
     ["a", "b"], ["1"], [1], {"x": 1}, "a b", "a|b", "a:1", "%20", "a%b", "é", "\x00", "\u2028",
     "nan", "1e400", "a\nb", "=", "'"]
)  # fmt: skip
names = st.text(st.sampled_from("ab|: \t=%'é\x001\n\r"), max_size=3)
texts = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("|: \t\r\n=%'\"\x00")), max_size=8)
values = st.one_of(awkward_values, texts, st.floats(allow_nan=False, allow_infinity=False), st.lists(texts, max_size=3))
features = st.dictionaries(names, st.one_of(values, st.dictionaries(names, values, max_size=3)), max_size=4)
labels = st.sampled_from([1, 1.0, True, "1", 0, -0.0, -1, "YES", "NO", "true", None, 3, 0.5, 1e16, "nan", [], {}])
events: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"features": features},
    optional={"label": labels, "weight": st.sampled_from([1, 2.5, 0, -1, "2", None, True, 1e10]), "id": labels},
)
json_payloads = st.one_of(
    events.map(orjson.dumps),
    st.lists(events, max_size=3).map(orjson.dumps),
    st.lists(events, min_size=2, max_size=3).map(lambda items: b"\n".join(map(orjson.dumps, items))),
    st.binary(max_size=20),
)

_words = st.text(st.sampled_from(string.ascii_lowercase[:4] + "=%'é1"), min_size=1, max_size=4)
_figures = st.sampled_from(
    ["1", "-1", "0.5", "1e3", "1e400", "nan", "inf", "1_0", "", "99999999999999", "999999999999999", "1000000000000000",
     ".5", "5.", "-", "+3", "0x1", "1e-400", "1e-129", "1e-259",
     "-0"]
)  # fmt: skip
_tokens = st.one_of(_words, st.builds("{}:{}".format, _words, _figures), st.sampled_from([":1", "a:1:2", "\t", "a\rb"]))
_sections = st.builds(
    lambda opening, tokens, end: f"|{opening}{' '.join(tokens)}{end}",
    st.one_of(st.just(" "), _words.map("{} ".format), st.builds("{}:{} ".format, _words, _figures), st.just(":2 ")),
    st.lists(_tokens, max_size=4),
    st.sampled_from(["", " ", "\r", "\n"]),
)
_heads = st.builds(
    lambda parts, end: " ".join(parts) + end,
    st.lists(st.one_of(_figures, st.sampled_from(["YES", "'tag", "tag", "2", "1.0", "0"])), max_size=3),
    st.sampled_from(["", " ", "  ", "\t"]),
)
vw_lines = st.one_of(
    st.builds(lambda head, sections: (head + "".join(sections)).encode(), _heads, st.lists(_sections, max_size=3)),
    st.binary(max_size=20),
    st.sampled_from([b"", b" ", b"\n", b"1 |f a\r\n", b"1 |f a\n2 |f b", b"|", b"1 |"]),
)

csv_columns = ("y", "a", "b")
csv_payloads = st.one_of(
    st.lists(st.one_of(texts, _figures, st.just("1")), min_size=2, max_size=4).map(
        lambda cells: CsvRow(Labels(), Schema()).row(cells)
    ),
    st.binary(max_size=12),
)

PAYLOADS = {"json": json_payloads, "vw": vw_lines, "csv": csv_payloads}

TYPED = Schema(
    label="y",
    fields={"a": Field(type="category"), "b": Field(type="boolean"), "c": Field(type="tokens"), "d": Field(rename="e")},
    namespaces={"n": ["a", "b"]},
    missing=["", "nan"],
)


def build(kind: str, reads: Reads = "text", schema: Schema | None = None, kinds: Labels | None = None) -> Format:
    if kind == "vw":
        return VwText(kinds or Labels(), reads)
    if kind == "json":
        return JsonEvent(kinds or Labels(), schema, reads)
    return CsvRow(kinds or Labels(), schema or Schema(label="y"), reads, csv_columns)


def shown(decoded: Decoded) -> list[object]:
    """All that a decoder said, floats told apart by their bits (1.0 == True, 0.0 == -0.0), in a comparable form."""
    return [*map(repr, decoded.examples), *map(repr, decoded.dead)]


def only(decoded: Decoded) -> Example:
    assert decoded.dead == []
    (example,) = decoded.examples
    return example


def reason(decoded: Decoded) -> str:
    assert decoded.examples == []
    (dead,) = decoded.dead
    return dead.reason
