"""The modern reader of csv2vw: quoting, escaping, columns by name, missing values, bad rows."""

import csv
import io
import random
import subprocess
import sys
from pathlib import Path

import pytest
from csv2vw_running import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.labels import Labels
from formats.numbers import written
from formats.vw_text import VwText, escape, parse_features
from learners.vw import VW
from tools.csv2vw_parts.bad_rows import BadRows
from tools.csv2vw_parts.cells import Tokens, is_missing, usable
from tools.csv2vw_parts.layout import Column
from tools.csv2vw_parts.modern import Conversion
from tools.csv2vw_parts.modern_options import CONTRADICT_SCHEMA, parsed


def converted(path: Path, *arguments: str) -> bytes:
    """The lines of a file, without the command around it."""
    options = parsed([*arguments, str(path)])
    return b"".join(Conversion(options, BadRows(options.skips_bad), lambda _: None).convert([str(path)]))


def as_csv(rows: list[list[str]], quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue().encode()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
CELL = st.one_of(TEXT, st.sampled_from(["1", "-2.50", "1e3", " 7", "NaN", "inf", "1_000", "", "a b|c:d=e%", "1e400"]))
NAME = TEXT.filter(lambda name: "|" not in name and not name.startswith("_"))


@given(
    names=st.lists(NAME, min_size=2, max_size=4, unique=True), seed=st.randoms(use_true_random=False), data=st.data()
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_is_read_back_are_exactly_the_features_meant(
    tmp_path: Path, names: list[str], seed: random.Random, data: st.DataObject
) -> None:
    names = [name or str(index) for index, name in enumerate(names)]
    if len(set(names)) < len(names):
        return
    rows = data.draw(st.lists(st.lists(CELL, min_size=len(names), max_size=len(names)), min_size=1, max_size=6))
    path = tmp_path / "in.csv"
    path.write_bytes(as_csv([names, *rows], csv.QUOTE_ALL))
    lines = converted(path, "--missing=drop").removesuffix(b"\n").split(b"\n")
    assert len(lines) == len(rows)
    for line, cells in zip(lines, rows, strict=True):
        meant: dict[str, str | float] = {}
        for name, cell in zip(names, cells, strict=True):
            value = usable(cell)
            if value is not None:
                meant[name] = value
            elif cell and not (cell.isascii() and is_float(cell)):
                meant[name] = cell
        assert parse_features(line).get("", {}) == meant
    decoded = VwText(Labels("number")).decode(lines)
    assert decoded.dead == []


def is_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@given(
    cell=st.one_of(
        CELL, st.floats().map(repr), st.integers(-(10**16), 10**16).map(str), st.from_regex(r"-?[0-9.eE+_]{1,8}")
    )
)
@settings(max_examples=1000, deadline=None)
def test_a_cell_becomes_a_number_a_text_or_nothing(cell: str) -> None:
    token = Tokens(Column("", "n", 0), frozenset([""]), "drop", 10)[cell]
    value = usable(cell)
    if value is not None:
        assert token == f" n:{written(value)}"
    else:
        assert token == ("" if is_missing(cell, frozenset([""])) else f" n={escape(cell)}")


def test_quoted_cells_hold_separators_quotes_and_line_ends(csv2vw: Run) -> None:
    data = 'y,a\n1,"x, ""y""\nz"\n2,"b"\n'
    assert csv2vw("--label", "y", "in.csv", data=data)[:2] == (0, '1 | a=x,%20"y"%0Az\n2 | a=b\n')


def test_numbers_are_written_as_weir_writes_them(csv2vw: Run) -> None:
    out = csv2vw("--label", "y", "in.csv", data="y,a,b,c\n1.0,007,1e3, .50 \n")[1]
    assert out == "1 | a:7 b:1000 c:0.5\n"
    assert written(7.0) == "7"


def test_label_weight_and_tag_stand_before_the_bar(csv2vw: Run) -> None:
    data = "i,w,y,a\nr 1,2.5,1,3\n,,0,3\nr3,4,,3\n"
    out = csv2vw("--label", "y", "--weight", "w", "--id", "i", "in.csv", data=data)[1]
    assert out == "1 2.5 'r%201 | a:3\n0 | a:3\n'r3 | a:3\n"


def test_namespaces_group_columns_in_sorted_order(csv2vw: Run) -> None:
    data = "y,d,c,b,a\n1,4,3,2,1\n"
    out = csv2vw("--label", "y", "--namespace", "z=d,a", "--namespace", "f g=c", "in.csv", data=data)[1]
    assert out == "1 | b:2 |f%20g c:3 |z a:1 d:4\n"


def test_columns_in_all_namespaces_may_be_missing(csv2vw: Run) -> None:
    assert csv2vw("--namespace", "f=a", "in.csv", data="a\n\n\nnan\n")[1] == "|f\n"
    assert csv2vw("--ignore", "a", "in.csv", data="a\n1\n")[1] == "|\n"


def test_ignored_columns_are_left_out(csv2vw: Run) -> None:
    assert csv2vw("--ignore", "a,c", "--ignore", "y", "in.csv", data="y,a,b,c\n1,2,3,4\n")[1] == "| b:3\n"


def test_without_a_header_columns_are_numbers(csv2vw: Run) -> None:
    assert csv2vw("--no-header", "--label", "-1", "--ignore", "1", "in.csv", data="5,6,7\n")[1] == "7 | 0:5\n"


def test_a_column_without_a_name_is_known_by_its_number(csv2vw: Run) -> None:
    assert csv2vw("--label", "y", "in.csv", data=",y,a\n0,1,5\n")[1] == "1 | 0:0 a:5\n"


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("drop", "1 | e=ok\n"),
        ("keep", "1 | a= b= c= d= e=ok\n"),
        ("indicate", "1 | a_missing:1 b_missing:1 c_missing:1 d_missing:1 e=ok\n"),
    ],
)
def test_missing_values_are_written_as_asked(csv2vw: Run, mode: str, line: str) -> None:
    data = "y,a,b,c,d,e\n1,,NaN,1_000,NA,ok\n"
    assert csv2vw("--label", "y", "--missing", mode, "--missing-value", "NA", "in.csv", data=data)[1] == line


def test_a_name_with_a_bar_is_a_namespace_as_for_vw(csv2vw: Run) -> None:
    data = "_label,_tag,_weight,ns|a,b,|c\n1,x,2,3,4,5\n"
    assert csv2vw("--missing", "drop", "in.csv", data=data)[1] == "1 2 'x | b:4 c:5 |ns a:3\n"


def test_modern_alone_reads_a_header_of_vw(csv2vw: Run) -> None:
    assert csv2vw("--modern", "in.csv", data='_label,ns|a,b\n1,2,"x y"\n') == (0, "1 | b=x%20y |ns a:2\n", "")


@pytest.mark.parametrize("header", ["_label,a", "a,_label", "ns|a,b", '"_label",a', "a\t_label\r"])
def test_a_header_of_vw_in_the_perl_grammar_is_pointed_out(csv2vw: Run, header: str) -> None:
    data = header + "\n1,2\n"
    code, out, err = csv2vw("in.csv", data=data)
    assert (code, err.count("\n")) == (0, 1)
    assert "in the first line looks like a header; --modern reads columns by it" in err
    assert csv2vw("--exact", "in.csv") == (code, out, "")
    assert csv2vw("-h", "in.csv")[2] == ""


@pytest.mark.parametrize("row", ["1,2", "label,a", "my_label,a", "1|2,3", "a,|", "a||b,c"])
def test_rows_of_data_are_not_taken_for_a_header(csv2vw: Run, row: str) -> None:
    assert csv2vw("in.csv", data=f"{row}\n_label,ns|a\n")[2] == ""


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_takes_nothing_changes_no_exit_code(tmp_path: Path, closing: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text("_label,a\n1,2\n")
    command = f"{sys.executable} -m tools.csv2vw {path} {closing}"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert (ran.returncode, ran.stdout) == (0, b"1 1|f 1=a\n1 2|f 1:2\n")


def test_the_same_header_is_read_in_every_file(csv2vw: Run, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("y,a\n2,6\n")
    assert csv2vw("--label", "y", "in.csv", "two.csv", data="y,a\n1,5\n")[1] == "1 | a:5\n2 | a:6\n"
    (tmp_path / "two.csv").write_text("a,y\n6,2\n")
    code, out, err = csv2vw("--label", "y", "in.csv", "two.csv")
    assert (code, out) == (1, "1 | a:5\n")
    assert "two.csv:1: another header" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--label", "z", "in.csv"), "no column 'z'; there are y, a, b"),
        (("--ignore", "z", "in.csv"), "there are y, a, b"),
        (("--namespace", "f=z", "in.csv"), "there are y, a, b"),
        (("--namespace", "f", "in.csv"), "expected NAME=COLUMN"),
        (("--namespace", "f=a", "--namespace", "g=a", "in.csv"), "'a' is also --namespace"),
        (("--label", "y", "--ignore", "y", "in.csv"), "'y' is also --label"),
        (("--label", "y", "--id", "y", "in.csv"), "must be different"),
        (("--no-header", "--label", "7", "in.csv"), "no column '7'; there are 0, 1, 2"),
        (("--labels", "YES", "in.csv"), "expected TEXT=NUMBER"),
        (("--labels", "YES=1", "--binary", "in.csv"), "contradict"),
        (("--labels", "YES=1", "--label-map", "map", "in.csv"), "contradict"),
        (("--quotes", "--no-quotes", "in.csv"), "contradict"),
        (("--binary", "in.csv"), "--label NAME; there are y, a, b"),
        (("--label-map", "map", "in.csv"), "--label NAME; there are y, a, b"),
        (("--separator", ",,", "in.csv"), "expected one character"),
        (("--encoding", "klingon", "in.csv"), "no known encoding"),
        (("--missing", "maybe", "in.csv"), "invalid choice"),
        (("--json", "--exact", "in.csv"), "--exact means"),
        (("--modern", "--exact", "in.csv"), "--exact means"),
        (("--nonsense", "in.csv"), "--nonsense"),
        (("--json", "nowhere.csv"), "cannot read 'nowhere.csv'"),
        (("--schema", "nowhere.toml", "in.csv"), "nowhere.toml: no such file"),
        (("--schema", "weir.toml", "--label", "y", "in.csv"), "contradict"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(csv2vw: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = csv2vw(*arguments, data="y,a,b\n1,2,3\n")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("header", ["y,a,a", "y,a,f|a", 'y,"a'])
def test_a_header_that_names_nothing_well_is_refused(csv2vw: Run, header: str) -> None:
    code, out, err = csv2vw("--namespace", "f=a", "--label", "y", "in.csv", data=f"{header}\n1,2,3\n")
    assert code in (1, 2)
    assert out == ""
    assert err.count("\n") == 1


def test_every_option_of_the_modern_reader_stands_in_the_help(csv2vw: Run) -> None:
    out = csv2vw("--help")[1]
    for option in (*CONTRADICT_SCHEMA, "modern", "no_header", "schema", "json", "skip_bad", "exact", "upstream"):
        assert f"--{option.replace('_', '-')} " in out


def test_every_option_stands_in_its_document(csv2vw: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "csv2vw.md").read_text(encoding="utf-8")
    for option in (*CONTRADICT_SCHEMA, "modern", "no_header", "schema", "json", "skip_bad", "exact", "upstream"):
        assert f"`--{option.replace('_', '-')}" in page


@pytest.mark.parametrize("grammar", [["-h", "0"], ["-h", "--", "-1"]])
def test_the_plain_path_loads_nothing_heavy(tmp_path: Path, grammar: list[str]) -> None:
    (tmp_path / "in.csv").write_text("y,a\n1,2\n")
    heavy = {"argparse", "msgspec", "orjson", "csv", "rich", "formats", "stream_app", "learners", "json", "typing"}
    program = "import sys; known = set(sys.modules); from tools.csv2vw import main; main(sys.argv[1:])"
    tell = f"print(sorted((set(sys.modules) - known) & {heavy!r}), file=sys.stderr)"
    command = [sys.executable, "-c", f"{program}; {tell}", *grammar, str(tmp_path / "in.csv")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert ran.stderr == "[]\n"


def test_vw_itself_hashes_the_features_meant(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(as_csv([["y", "a b", "c|d:e", "f=g"], ["1", "x y", "p|q", "3"], ["0", "", "nan", "%"]]))
    lines = converted(path, "--label", "y", "--namespace", "n=a b,f=g,c|d:e").splitlines()
    learner = VW("--quiet")
    decoded = VwText(Labels("number")).decode(lines)
    learner.learn(decoded.examples)
    assert [len(learner.score(example).terms) for example in decoded.examples] == [4, 2]
