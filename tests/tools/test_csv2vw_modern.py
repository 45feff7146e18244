"""The modern reader of csv2vw: quoting, escaping, columns by name, missing values, bad rows."""

import csv
import gzip
import io
import os
import pty
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.labels import Labels
from formats.numbers import written
from formats.vw_text import VwText, escape, parse_features
from learners.vw import VW
from tools.csv2vw import main
from tools.csv2vw_parts.bad_rows import TOLD, BadRows
from tools.csv2vw_parts.cells import Tokens, is_missing, usable
from tools.csv2vw_parts.layout import Column
from tools.csv2vw_parts.modern import Conversion
from tools.csv2vw_parts.modern_options import CONTRADICT_SCHEMA, parsed

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def csv2vw(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a folder of its own: arguments, and the content of `in.csv`, to exit code and both outputs."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, data: bytes | str | None = None) -> tuple[int, str, str]:
        if data is not None:
            Path("in.csv").write_bytes(data.encode() if isinstance(data, str) else data)
        capfd.readouterr()
        code = main(arguments)
        return code, *capfd.readouterr()

    return run


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
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


NASTY = [
    "",
    "0",
    "1",
    "17",
    "NA",
    "x",
    "1.5",
    "é",
    " ",
    "nan",
    "1_000",
    '"',
    '""',
    '"a,b"',
    '"a\nb"',
    'a"b',
    "YES",
    "2 3",
]


@pytest.mark.parametrize("seed", range(40))
def test_many_rows_at_once_give_what_single_rows_give(csv2vw: Run, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    width = chance.choice((1, 2, 3, 6))
    values = NASTY if seed % 2 else NASTY[:11]

    def row() -> str:
        cells = [chance.choice(values[: chance.choice((3, 99))]) for _ in range(width)]
        return ",".join(cells if chance.random() < 0.97 else [*cells, "more"])

    lines = [",".join(f"c{index}" for index in range(width)), *(row() for _ in range(3000))]
    end = chance.choice(("\n", "\n", "\r\n"))
    data = end.join(lines).encode() + end.encode()
    if seed % 5 == 0:
        data = data.replace(b"17", b"\xff", 3)
    options = ["--label", "c0", "--skip-bad", *(["--weight", "c1", "--id", "c2"] if width > 2 and seed % 3 else [])]
    at_once = csv2vw(*options, "in.csv", data=data)
    monkeypatch.setattr("tools.csv2vw_parts.row_chunks.CHUNK_BYTES", 1)
    assert csv2vw(*options, "in.csv") == at_once
    assert at_once[0] == 0


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


def test_the_same_header_is_read_in_every_file(csv2vw: Run, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("y,a\n2,6\n")
    assert csv2vw("--label", "y", "in.csv", "two.csv", data="y,a\n1,5\n")[1] == "1 | a:5\n2 | a:6\n"
    (tmp_path / "two.csv").write_text("a,y\n6,2\n")
    code, out, err = csv2vw("--label", "y", "in.csv", "two.csv")
    assert (code, out) == (1, "1 | a:5\n")
    assert "two.csv:1: another header" in err


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("in.tsv", lambda data: data.replace(b",", b"\t")),
        ("in.csv.gz", gzip.compress),
        ("in.csv.zst", lambda data: zstandard.compress(data)),
        ("in.tsv.gz", lambda data: gzip.compress(data.replace(b",", b"\t"))),
        ("bom.csv", lambda data: b"\xef\xbb\xbf" + data),
        ("crlf.csv", lambda data: data.replace(b"\n", b"\r\n")),
        ("open.csv", lambda data: data.removesuffix(b"\n")),
        ("blank.csv", lambda data: b"\n" + data.replace(b"\n", b"\n\r\n\n")),
    ],
)
def test_files_are_read_as_they_come(csv2vw: Run, name: str, packed: Callable[[bytes], bytes]) -> None:
    Path(name).write_bytes(packed('y,a\n1,"é x"\n2,b\n'.encode()))
    assert csv2vw("--label", "y", name) == (0, "1 | a=é%20x\n2 | a=b\n", "")


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16", "utf-8-sig", "cp1252"])
def test_encodings_are_read(csv2vw: Run, encoding: str) -> None:
    data = 'y,ä\n1,"é x"\n'.encode(encoding)
    assert csv2vw("--label", "y", "--encoding", encoding, "in.csv", data=data)[1] == "1 | ä=é%20x\n"


def test_standard_input_is_read(csv2vw: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("stdin").write_text("y;a\n1;2\n")
    with Path("stdin").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert csv2vw("--label", "y", "--separator", ";", "-")[1] == "1 | a:2\n"


BAD = b'y,a\n1,2\n3\n1,2,3\nx,"b\n"c,1\n\xff,1\n5,6\n'


def test_the_first_bad_row_ends_the_run_after_what_came_before(csv2vw: Run) -> None:
    code, out, err = csv2vw("--label", "y", "in.csv", data=BAD)
    assert (code, out) == (1, "1 | a:2\n")
    assert err == "csv2vw: in.csv:3: row has 1 cells, but there are 2 columns (--skip-bad passes over bad rows)\n"


def test_bad_rows_are_passed_over_and_counted(csv2vw: Run) -> None:
    code, out, err = csv2vw("--label", "y", "--skip-bad", "in.csv", data=BAD)
    assert (code, out) == (0, "1 | a:2\n5 | a:6\n")
    assert [line.split(": ")[1] for line in err.splitlines()[:-1]] == ["in.csv:3", "in.csv:4", "in.csv:5", "in.csv:7"]
    assert err.endswith("csv2vw: 4 bad rows skipped\n")


def test_bad_rows_are_told_of_up_to_a_bound(csv2vw: Run) -> None:
    code, out, err = csv2vw("--label", "y", "--skip-bad", "in.csv", data="y,a\n" + "1\n" * 1000 + "1,2\n")
    assert (code, out) == (0, "1 | a:2\n")
    assert err.count("\n") == TOLD + 2
    assert "1,000 bad rows" in err


def test_a_quote_that_is_not_closed_costs_one_row(csv2vw: Run) -> None:
    data = "y,a\n1,2\n" + '3,"x\n' + "4,5\n" * 400_000
    code, out, err = csv2vw("--label", "y", "--skip-bad", "in.csv", data=data)
    assert (code, out.count("\n")) == (0, 400_001)
    assert "in.csv:3: a quote in '3,\"x' is not closed" in err


def test_a_line_without_end_is_refused_in_bounded_memory(csv2vw: Run) -> None:
    code, out, err = csv2vw("--label", "y", "in.csv", data="y,a\n" + "x" * (2 << 20))
    assert (code, out) == (1, "")
    assert "line 2 is longer than" in err


def test_a_damaged_archive_ends_the_run_after_what_came_before(csv2vw: Run) -> None:
    Path("in.csv.gz").write_bytes(gzip.compress(b"y,a\n" + b"1,2\n" * 300_000)[:-9])
    code, out, err = csv2vw("--label", "y", "in.csv.gz")
    assert code == 1
    assert out.startswith("1 | a:2\n")
    assert err.count("\n") == 1


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
        (("--binary", "in.csv"), "--label NAME; there are y, a, b"),
        (("--label-map", "map", "in.csv"), "--label NAME; there are y, a, b"),
        (("--separator", ",,", "in.csv"), "expected one character"),
        (("--encoding", "klingon", "in.csv"), "no known encoding"),
        (("--missing", "maybe", "in.csv"), "invalid choice"),
        (("--json", "--exact", "in.csv"), "--exact means"),
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
    for option in (*CONTRADICT_SCHEMA, "schema", "json", "skip_bad", "exact", "upstream"):
        assert f"--{option.replace('_', '-')} " in out


def test_every_option_stands_in_its_document(csv2vw: Run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "csv2vw.md").read_text(encoding="utf-8")
    for option in (*CONTRADICT_SCHEMA, "schema", "json", "skip_bad", "exact", "upstream"):
        assert f"`--{option.replace('_', '-')}" in page


def test_a_row_from_a_pipe_comes_out_before_the_next_goes_in() -> None:
    command = [sys.executable, "-m", "tools.csv2vw", "--label", "y", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, 4):
            process.stdin.write(b"y,a\n1,0\n" if number == 1 else f"{number},0\n".encode())
            process.stdin.flush()
            assert process.stdout.readline() == f"{number} | a:0\n".encode()


@pytest.mark.parametrize("grammar", [["-h", "0"], ["-h", "--", "-1"]])
def test_the_plain_path_loads_nothing_heavy(tmp_path: Path, grammar: list[str]) -> None:
    (tmp_path / "in.csv").write_text("y,a\n1,2\n")
    heavy = {"argparse", "msgspec", "orjson", "csv", "rich", "formats", "stream_app", "learners", "json", "typing"}
    program = "import sys; known = set(sys.modules); from tools.csv2vw import main; main(sys.argv[1:])"
    tell = f"print(sorted((set(sys.modules) - known) & {heavy!r}), file=sys.stderr)"
    command = [sys.executable, "-c", f"{program}; {tell}", *grammar, str(tmp_path / "in.csv")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert ran.stderr == "[]\n"


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.csv2vw_parts.reading_progress.SHOWN_FROM_BYTES", 0)
    monkeypatch.setenv("TERM", "xterm")
    path, output = tmp_path / "in.csv", tmp_path / "out"
    path.write_text("y,a\n" + "1,2\n" * 50_000)
    monitor, terminal = pty.openpty()
    with os.fdopen(monitor, "rb", 0) as shown, os.fdopen(terminal, "w") as stderr, output.open("w") as stdout:
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setattr("sys.stdout", stdout)
        assert main(["--label", "y", str(path)]) == 0
        stderr.flush()
        assert b"kB" in shown.read(65536)
    assert output.read_text() == "1 | a:2\n" * 50_000


def test_vw_itself_hashes_the_features_meant(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(as_csv([["y", "a b", "c|d:e", "f=g"], ["1", "x y", "p|q", "3"], ["0", "", "nan", "%"]]))
    lines = converted(path, "--label", "y", "--namespace", "n=a b,f=g,c|d:e").splitlines()
    learner = VW("--quiet")
    decoded = VwText(Labels("number")).decode(lines)
    learner.learn(decoded.examples)
    explained = [learner.explain(example) for example in decoded.examples]
    assert [len(found) for found in explained] == [4, 2]


def test_memory_stays_constant_over_values_that_never_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.csv2vw_parts.written_lines.TABLE_ENTRIES", 8_000)
    monkeypatch.setattr("tools.csv2vw_parts.heads.HEADS_KEPT", 1_000)
    path = tmp_path / "in.csv"
    path.write_text("y,w,i,a,b\n" + "".join(f"{n / 3},{n % 999},r{n},{n}x,{n / 7}\n" for n in range(60_000)))
    options = parsed(["--label", "y", "--weight", "w", "--id", "i", str(path)])
    peaks = []
    tracemalloc.start()
    for _ in Conversion(options, BadRows(False), lambda _: None).convert([str(path)]):
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[-1] <= peaks[len(peaks) // 3] * 1.05
