"""Quotes in csv2vw's modern reader: where they hold cells together, where they are text, what is said of bad ones."""

from itertools import product
from pathlib import Path

import pytest
from csv2vw_running import Run

from tools.csv2vw_parts.errors import BadRow
from tools.csv2vw_parts.row_cells import Dialect, parsed

SMS = Path(__file__).parents[2].parent / "shared" / "data" / "SMSSpamCollection.tsv"


@pytest.mark.skipif(not SMS.exists(), reason="the data set is not there")
def test_every_row_of_a_text_file_with_quotes_becomes_a_line(csv2vw: Run) -> None:
    options = ("--label", "0", "--no-header", "--labels", "ham=-1,spam=1", "--skip-bad")
    code, out, err = csv2vw(*options, str(SMS))
    assert (code, out.count("\n"), err) == (0, 5574, "")
    assert out.count('"') == SMS.read_text(encoding="utf-8").count('"')


@pytest.mark.parametrize(
    ("arguments", "cell"),
    [
        (("in.tsv",), '"x"'),
        (("--quotes", "in.tsv"), "x"),
        (("in.tab",), '"x"'),
        (("--separator", "tab", "in.txt"), '"x"'),
        (("--separator", "tab", "--quotes", "in.txt"), "x"),
        (("in.csv",), "x"),
        (("--no-quotes", "in.csv"), '"x"'),
    ],
)
def test_quotes_are_text_where_the_separator_is_a_tab(csv2vw: Run, arguments: tuple[str, ...], cell: str) -> None:
    tabbed = 'y\ta\n1\t"x"\n2\tb\n'
    files = {"in_tsv": tabbed, "in_tab": tabbed, "in_txt": tabbed, "in_csv": tabbed.replace("\t", ",")}
    assert csv2vw("--label", "y", *arguments, **files) == (0, f"1 | a={cell}\n2 | a=b\n", "")


def test_without_quotes_every_line_is_a_row(csv2vw: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ['"', '""', 'a"', '"b', '"c', 'd"e', "f"] * 500
    content = '"y",a\r\n' + "".join(f"{n},{row}\r\n" for n, row in enumerate(rows))
    expected = "".join(f"{n} | a={row}\n" for n, row in enumerate(rows))
    assert csv2vw("--no-quotes", "--label", '"y"', "in.csv", in_csv=content) == (0, expected, "")
    monkeypatch.setattr("tools.csv2vw_parts.row_chunks.CHUNK_BYTES", 1)
    assert csv2vw("--no-quotes", "--label", '"y"', "in.csv")[1] == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('1,"a"b\n', "in.csv:3: the quote that opens on line 3, at '\"a\"b', closes before the end of its cell"),
        ('1,"a\nb"c\n', "in.csv:3: the quote that opens on line 3, at '\"a', closes before the end of its cell"),
        ('"1\n2","b"c\n', "in.csv:3: the quote that opens on line 4, at '\"b\"c', closes before"),
        ('1,"a\n2,b\n', "in.csv:3: a quote opens on line 3, at '\"a', and is not closed before the end of the file"),
        ('5" x,1\n6" y,2\n', "in.csv:3: a quote on line 3, after '5', stands within a cell and is alone on its line"),
        ('5" x,"a"\r\n6" y\r\n', "in.csv:3: a quote on line 3, after '5', stands within a cell and is alone on its"),
        ('a"b"c,"x\ny"z\n', "in.csv:3: the quote that opens on line 3, at '\"x', closes before the end of its cell"),
        ('5" x,"a\n', "in.csv:3: the quote that opens on line 3, at '\"a', is not closed"),
        ('1,"a\n2,b"\n,c,d\n', "in.csv:5: row has 3 cells, but there are 2 columns"),
        ('1,a,"b\nc"\n', "in.csv:3: row has 3 cells, but there are 2 columns; quotes hold lines 3 to 4 together"),
    ],
)
def test_a_misplaced_quote_is_named_with_its_line(csv2vw: Run, rows: str, words: str) -> None:
    code, _, err = csv2vw("--ignore", "y", "in.csv", in_csv="y,a\n1,2\n" + rows)
    assert (code, err.count("\n")) == (1, 1)
    assert words in err
    assert ("--no-quotes reads quotes as text" in err) == ("3 cells, but there are 2 columns (" not in err)


def test_no_message_is_in_the_words_of_the_library() -> None:
    faults = []
    for pieces in product(("a", '"', ",", "\n", "\r"), repeat=6):
        try:
            parsed("".join(pieces).encode(), Dialect(",", "utf-8", has_quotes=True), 1)
        except BadRow as error:
            faults.append(error)
    assert len(faults) > 1000
    for fault in faults:
        assert fault.__cause__ is None or str(fault.__cause__) not in str(fault)
        assert "quote" in str(fault) or "carriage return" in str(fault)


@pytest.mark.parametrize(("setting", "lines"), [("", 1), ("quoting = false", 2), ("quoting = true", 1)])
def test_a_schema_says_whether_there_are_quotes(csv2vw: Run, setting: str, lines: int) -> None:
    config = f'[events]\nformat = "csv"\n{setting}\n[schema]\nlabel = "y"\n'
    code, out, err = csv2vw("--schema", "weir.toml", "in.csv", weir_toml=config, in_csv='y,a\n1,"b\n1,c"\n')
    assert (code, out.count("\n") if lines == 2 else (lines if "%0A" in out else 0), err) == (0, lines, "")


def test_a_schema_of_tab_separated_values_has_no_quotes(csv2vw: Run) -> None:
    config = '[events]\nformat = "tsv"\n[schema]\nlabel = "y"\n'
    files = {"weir_toml": config, "in_tsv": 'y\ta\n1\t"b\n1\tc\n'}
    assert csv2vw("--schema", "weir.toml", "in.tsv", **files) == (0, '1 | a="b\n1 | a=c\n', "")


@pytest.mark.parametrize("options", [(), ("--no-header",)])
def test_a_schema_that_names_the_columns_needs_no_header(csv2vw: Run, options: tuple[str, ...]) -> None:
    config = '[events]\ncolumns = ["y", "a"]\n[schema]\nlabel = "y"\n'
    files = {"weir_toml": config, "in_csv": "1,b\n1,c\n"}
    assert csv2vw("--schema", "weir.toml", *options, "in.csv", **files) == (0, "1 | a=b\n1 | a=c\n", "")


def test_a_schema_without_columns_needs_a_header(csv2vw: Run) -> None:
    files = {"weir_toml": '[schema]\nlabel = "y"\n', "in_csv": "1,b\n"}
    code, out, err = csv2vw("--schema", "weir.toml", "--no-header", "in.csv", **files)
    assert (code, out) == (2, "")
    assert "weir.toml must name the columns: [events] columns" in err
