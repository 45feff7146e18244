"""CSV rows: quoting, headers, encodings, rows that do not fit."""

import io

import pytest
from format_samples import awkward_values, moderate, only, reason, shown, texts
from hypothesis import given
from hypothesis import strategies as st

from formats.csv_row import CsvRow
from formats.example import FormatError
from formats.labels import Labels
from formats.lines import MAX_ROW_BYTES
from formats.schema import Field, Schema

BOM = b"\xef\xbb\xbf"
FLIGHTS = Schema(
    label="delayed", labels={"YES": 1, "NO": -1}, id="id", weight="w", time="at", namespaces={"f": ["from"]}
)


def plain(*columns: str, encoding: str = "utf-8") -> CsvRow:
    return CsvRow(Labels(), Schema(label="y"), columns=columns or ("y", "a", "b"), encoding=encoding)


def split(data: bytes, format_: CsvRow | None = None) -> list[bytes]:
    return list((format_ or plain()).split(io.BytesIO(data)))


def test_a_row_is_read_by_its_schema() -> None:
    format_ = CsvRow(
        Labels("number", 0, dict(FLIGHTS.labels)), FLIGHTS, "text", ["id", "at", "w", "from", "km", "delayed"]
    )
    example = only(format_.decode([b"f-1,2024-01-01,2,MCO,1848.0,YES"]))
    assert example.text == b"1 2 | km:1848 |f from=MCO"
    assert (example.id, example.time_s, example.label) == ("f-1", 1704067200.0, 1.0)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (b'1,"a,b",c', b"1 | a=a,b b=c"),
        (b'1,"say ""hi""",c', b'1 | a=say%20"hi" b=c'),
        (b'1,"two\nlines",c', b"1 | a=two%0Alines b=c"),
        (b"1,,", b"1 |"),
        (b'1,"",x', b"1 | b=x"),
        (b"1,2,03", b"1 | a:2 b:3"),
        (b"1,x,y\r\n", b"1 | a=x b=y"),
        (b"1,nan,1_0", b"1 | a=nan b=1_0"),
        (b"1,a|b,c:d e", b"1 | a=a%7Cb b=c%3Ad%20e"),
        (b",x,y", b"| a=x b=y"),
    ],
)
def test_cells_are_read_as_rfc_4180_says(row: bytes, text: bytes) -> None:
    assert only(plain().decode([row])).text.rstrip() == text


@moderate
@given(cells=st.lists(texts, min_size=3, max_size=3))
def test_what_row_writes_is_read_back(cells: list[str]) -> None:
    format_ = plain()
    assert format_._cells(format_.row(cells)) == cells


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"1,2", ["2 cells", "3 columns"]),
        (b"1,2,3,4", ["4 cells", "3 columns"]),
        (b"", ["1 cells", "3 columns"]),
        (b'1,"a', ["CSV", "a"]),
        (b'1,"a"b,c', ["CSV"]),
        (b"1,2\n3,4", ["line end"]),
        (b"YES,2,3", ["y", "'YES'", "finite number"]),
        (b"1,\xff,3", ["utf-8", "byte 2", "events.encoding"]),
        (b"1,1e16,3", []),
    ],
)
def test_a_row_that_does_not_fit_says_why(row: bytes, words: list[str]) -> None:
    decoded = plain().decode([row])
    if words:
        assert all(word in reason(decoded) for word in words), decoded.dead
    else:
        assert b"a=1e16" in only(decoded).text


def test_a_number_too_large_for_a_typed_column_is_refused() -> None:
    schema = Schema(label="y", fields={"a": Field(type="number")})
    said = reason(CsvRow(Labels(), schema, columns=["y", "a"]).decode([b"1,1e16"]))
    assert said.startswith("a: ")
    assert "1e+15" in said


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "cp1252"])
def test_text_is_read_in_the_encoding_that_was_set(encoding: str) -> None:
    row = "1,Zürich,é".encode(encoding)
    assert only(plain(encoding=encoding).decode([row])).text == "1 | a=Zürich b=é".encode()


@pytest.mark.parametrize("bom", [b"", BOM])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_header_names_the_columns(bom: bytes, end: bytes, last: bool) -> None:
    format_ = CsvRow(Labels(), Schema(label="y"))
    rows = split(bom + end.join([b"a,y", b"x,1", b"", b"z,2"]) + (end if last else b""), format_)
    assert format_.columns == ["a", "y"]
    assert [example.text for example in format_.decode(rows).examples] == [b"1 | a=x", b"2 | a=z"]


@pytest.mark.parametrize("bom", [b"", BOM])
def test_a_first_row_that_is_no_header_is_a_row(bom: bytes) -> None:
    rows = split(bom + b"1,x,y\n2,x,y\n")
    assert [example.label for example in plain().decode(rows).examples] == [1.0, 2.0]


def test_the_header_of_a_second_file_is_no_row() -> None:
    format_ = plain()
    assert split(b"y,a,b\n1,2,3\n", format_) + split(b"y,a,b\n4,5,6\n", format_) == [b"1,2,3", b"4,5,6"]


def test_a_quoted_cell_may_hold_line_ends() -> None:
    assert split(b'1,"a\nb\n",c\n2,d,e') == [b'1,"a\nb\n",c', b"2,d,e"]


def test_a_quote_that_never_closes_does_not_fill_the_memory() -> None:
    with pytest.raises(FormatError, match="not closed within"):
        split(b'1,"a\n' + (b"2,b," + b"c" * 999 + b"\n") * (MAX_ROW_BYTES // 500))


def test_rows_before_the_header_is_known_are_dead() -> None:
    assert "events.columns" in reason(CsvRow(Labels(), Schema(label="y")).decode([b"1,2"]))


@pytest.mark.parametrize(
    ("columns", "schema", "words"),
    [
        (["y", "a", "a"], Schema(label="y"), ["'a'", "more than once"]),
        (["a", "b"], Schema(label="y"), ["schema.label", "'y'", "a, b"]),
        (["y", "a"], Schema(label="y", weight="w"), ["schema.weight", "'w'"]),
        (["y", "a", "b"], Schema(label="y", fields={"a": Field(rename="b")}), ["'b'", "two fields"]),
    ],
)
def test_columns_that_cannot_be_are_refused(columns: list[str], schema: Schema, words: list[str]) -> None:
    with pytest.raises(FormatError) as caught:
        CsvRow(Labels(), schema, columns=columns)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_label_is_joined_in_its_column() -> None:
    assert plain().labelled(b',"a,b",c', 1) == b'1,"a,b",c'


@pytest.mark.parametrize(
    ("format_", "label", "word"),
    [
        (plain(), "YES", "'YES'"),
        (CsvRow(Labels(), Schema(), columns=["y", "a", "b"]), 1, "schema.label"),
        (
            CsvRow(Labels("number", 0, {"€": 1.0}), Schema(label="y"), columns=["y", "a", "b"], encoding="latin-1"),
            "€",
            "€",
        ),
    ],
)
def test_a_label_that_cannot_be_joined_is_refused(format_: CsvRow, label: object, word: str) -> None:
    with pytest.raises(FormatError, match=word):
        format_.labelled(b",2,3", label)


def test_a_row_has_one_label() -> None:
    with pytest.raises(FormatError, match="already: '0'"):
        plain().labelled(b"0,2,3", 1)


AT_ONCE = Schema(label="y", id="i", weight="w", time="t", labels={"YES": 1, "NO": -1}, namespaces={"n": ["b"]})
COLUMNS = ["i", "b", "y", "a", "w", "t"]

cells = st.one_of(
    texts.filter(lambda text: text.isprintable() and not set(text) & set('",')),
    awkward_values.map(str).filter(lambda text: text.isprintable() and not set(text) & set('",')),
)
rows = st.tuples(
    cells, cells, st.sampled_from(["YES", "NO", ""]), cells, st.sampled_from(["1", "2.5", ""]), st.just("7")
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
@moderate
@given(rows=st.lists(st.one_of(rows, st.tuples(cells, cells)), min_size=1, max_size=5))
def test_rows_decoded_at_once_are_what_they_are_one_by_one(rows: list[tuple[str, ...]], encoding: str) -> None:
    format_ = CsvRow(Labels("number", 0, dict(AT_ONCE.labels)), AT_ONCE, "text", COLUMNS, encoding)
    payloads = [",".join(row).encode(encoding, errors="ignore") for row in rows]
    unlike_any = b'"'  # such a row sends its whole block to the exact way
    assert shown(format_.decode(payloads)) == shown(format_.decode([*payloads, unlike_any]))[:-1]


@pytest.mark.parametrize("row", [b"1\n2", b"1,a,b\n1,a,b", b"1,a,b\n", b"1\n,a,b", b"1,a,b\r", b"1,\n,b"])
def test_line_ends_within_a_row_are_seen_among_other_rows_too(row: bytes) -> None:
    quoted = b'1,"a",b'  # such a row sends its whole block to the exact way
    alone, among = plain().decode([row]), plain().decode([row, quoted])
    assert (shown(alone), len(alone.dead)) == (
        [*map(repr, among.examples[:-1]), *map(repr, among.dead)],
        len(among.dead),
    )


def test_a_large_block_of_rows_keeps_the_place_of_each_bad_one() -> None:
    payloads = [b"1,a,%d" % number if number % 200 else b"x,a,b" for number in range(1, 1001)]
    decoded = plain().decode(payloads)
    assert [dead.index for dead in decoded.dead] == [199, 399, 599, 799, 999]
    assert [example.text for example in decoded.examples[198:200]] == [b"1 | a=a b:199", b"1 | a=a b:201"]


def test_cells_are_parted_by_the_separator_given() -> None:
    format_ = CsvRow(Labels(), Schema(label="y"), columns=["y", "a"], separator=";")
    assert [example.text for example in format_.decode([b"1;b,c", b'0;"d;e"']).examples] == [b"1 | a=b,c", b"0 | a=d;e"]
    assert format_.row(["1", "d;e"]) == b'1;"d;e"'


@pytest.mark.parametrize("separator", ["", ",,", '"', "\n"])
def test_what_cannot_part_cells_is_no_separator(separator: str) -> None:
    with pytest.raises(FormatError, match="separator: expected one character"):
        CsvRow(Labels(), Schema(), separator=separator)


def test_without_quoting_a_quote_is_text_like_any_other() -> None:
    format_ = CsvRow(Labels(), Schema(label="y"), columns=["y", "a"], separator="\t", quoting=False)
    rows = list(format_.split(io.BytesIO(b'1\t"a b\n0\tsay "x"\n1\t"q"\n')))
    texts_ = [example.text for example in format_.decode(rows).examples]
    assert texts_ == [b'1 | a="a%20b', b'0 | a=say%20"x"', b'1 | a="q"']
    assert format_.row(["1", 'a "b"']) == b'1\ta "b"'
    with pytest.raises(FormatError, match="there are no quotes"):
        format_.row(["1", "a\tb"])


def test_a_quote_that_runs_over_lines_says_so() -> None:
    said = reason(plain().decode([b'1,"a\nb"c,d\n2,e,f']))
    assert "a quote opens in" in said
    assert "runs over 3 lines" in said
    assert "events.quoting = false" in said


@pytest.mark.parametrize("header", [b"y,b,a", b"a,y", b"y,a,b,c", b"target,one,two"])
def test_a_header_that_differs_from_the_columns_is_an_error_not_an_event(header: bytes) -> None:
    format_ = plain()
    with pytest.raises(FormatError, match=r"header: .* differs from the columns 'y,a,b'"):
        split(header + b"\n1,2,3\n", format_)


@pytest.mark.parametrize("row", [b"1,x,y", b",x,y", b"z,1,y", b"nan,1,"])
def test_a_first_row_that_may_be_an_event_is_one(row: bytes) -> None:
    assert split(row + b"\n1,2,3\n", plain()) == [row, b"1,2,3"]
