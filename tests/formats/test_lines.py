"""Streams cut at line ends: wherever the pieces end that are read, the lines are the same."""

import io

import pytest
from format_samples import moderate
from hypothesis import example, given
from hypothesis import strategies as st

from formats import lines as cutting
from formats.csv_row import CsvRow
from formats.example import FormatError
from formats.format import Format
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.lines import lines
from formats.schema import Schema
from formats.vw_text import VwText

UNCLOSED = b"a quote opened, never closed"

texts = st.lists(st.sampled_from([b"a", b",", b'"', b"\r\n", b"\n", b";"]), max_size=30).map(b"".join)
sizes = st.sampled_from([1, 2, 3, 5, 100])


def rows_one_by_one(data: bytes) -> list[bytes]:
    """The definition: a row goes on while the number of its quotes is odd."""
    rows, row = [], b""
    for line in io.BytesIO(data):
        row += line
        if row.count(b'"') % 2 == 0:
            rows.append(row.rstrip(b"\r\n"))
            row = b""
    return [*filter(None, rows), *([UNCLOSED] if row else [])]


def split(format_: Format, data: bytes) -> list[bytes]:
    rows: list[bytes] = []
    try:
        rows.extend(format_.split(io.BytesIO(data)))  # keeps what came before an error
    except FormatError as error:
        rows.append(UNCLOSED if "is not closed before the end" in str(error) else b"another error")
    return rows


@moderate
@given(data=texts, size=sizes)
def test_lines_do_not_depend_on_how_a_stream_is_read(data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "CHUNK_BYTES", size)
        assert list(lines(io.BytesIO(data))) == list(filter(None, (line.rstrip(b"\r\n") for line in io.BytesIO(data))))


@moderate
@given(data=texts, size=sizes)
@example(data=b'a,"b\n\nc"\nd', size=3)
def test_quoted_rows_do_not_depend_on_how_a_stream_is_read(data: bytes, size: int) -> None:
    format_ = CsvRow(Labels(), Schema(label="y"), columns=["y", "never a row"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "CHUNK_BYTES", size)
        assert split(format_, b"first\n" + data)[1:] == rows_one_by_one(data)


@pytest.mark.parametrize("format_", [VwText(Labels()), CsvRow(Labels(), Schema(label="y"), columns=["y"])])
def test_a_line_without_end_is_an_error_not_a_full_memory(format_: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "CHUNK_BYTES", 10)
    monkeypatch.setattr(cutting, "MAX_LINE_BYTES", 100)
    rows = format_.split(io.BytesIO(b"1\n" + b"x" * 1000))
    assert next(rows) == b"1"
    with pytest.raises(FormatError, match="a line of more than 100 bytes, which begins b'xxx"):
        next(rows)


@pytest.mark.parametrize(
    "text", [b'{"features":{}}\n{"features":{}}\n', b'[{"features":{}},{"features":{}}]', b'[\n{"features":{}}\n]\n']
)
def test_a_byte_order_mark_before_json_is_passed_over(text: bytes) -> None:
    format_ = JsonEvent(Labels())
    payloads = list(format_.split(io.BytesIO(b"\xef\xbb\xbf" + text)))
    assert payloads == list(format_.split(io.BytesIO(text)))
    assert format_.decode(payloads).dead == []
