"""csv2vw against recorded runs of the scripts that it replaces, and against what those runs do not show."""

import json
import random
import shutil
import subprocess
import sys
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import pytest

from tools.csv2vw import main
from tools.csv2vw_parts.columns import looks_like_number
from tools.csv2vw_parts.lines import Chunk
from tools.csv2vw_parts.perl import Conversion
from tools.csv2vw_parts.separator import Separator

CASES = Path(__file__).parents[2].parent / "shared" / "csv2vw-cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/case.json"))
OTHER_WORDS_ON_STDERR = {
    "09": "one line instead of the usage",
    "24": "Perl warns of an undefined value in its own source",
    "29": "the same",
    "31": "the same",
}
PLAIN = ("a,b,y\n1,x,1\n", "1 1|f a:1 b=x\n")


class Run:
    """The command in this process, in a folder of its own, with its outputs as text."""

    def __init__(self, capfd: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        self.capfd = capfd
        self.monkeypatch = monkeypatch
        self.folder = folder

    def __call__(self, *arguments: str, stdin: bytes | None = None, **files: str | bytes) -> tuple[int, str, str]:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (self.folder / f"{name}.csv").write_bytes(data)
        if stdin is not None:
            (self.folder / "stdin").write_bytes(stdin)
        self.capfd.readouterr()
        with (self.folder / "stdin").open() if stdin is not None else nullcontext(sys.stdin) as file:
            self.monkeypatch.setattr("sys.stdin", file)
            code = main(arguments)
        return code, *self.capfd.readouterr()


@pytest.fixture
def csv2vw(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capfd, tmp_path, monkeypatch)


def row_by_row(text: str, label: int, has_header: bool = True) -> str:
    """The slow definition: every row on its own."""
    conversion = Conversion(Separator("(?:,)"), label, has_header, lambda _: None)
    return "".join(conversion.convert(Chunk("in.csv", text.removesuffix("\n"), begins_file=True)))


def by_columns(text: str, label: int, has_header: bool = True, lines_at_once: int = 700) -> str:
    conversion = Conversion(Separator(","), label, has_header, lambda _: None)
    lines = text.removesuffix("\n").split("\n")
    starts = range(0, len(lines), lines_at_once)
    pieces = ["\n".join(lines[start : start + lines_at_once]) for start in starts]
    chunks = [Chunk("in.csv", piece, number == 0) for number, piece in enumerate(pieces)]
    return "".join("".join(conversion.convert(chunk)) for chunk in chunks)


@pytest.mark.skipif(not FOLDERS, reason="needs the recorded runs in ../shared/csv2vw-cases beside the project")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_equals_the_recorded_run(folder: Path, csv2vw: Run) -> None:
    case = json.loads((folder / "case.json").read_text())
    shutil.copy(folder / "input.csv", "input.csv")
    grammar = ["--upstream"] if case["script"] == "python" else []
    code, out, err = csv2vw(*grammar, *case["args"], "input.csv")
    assert out == (folder / "expected.vw").read_bytes().decode()
    assert code == case["exit_code"]
    if folder.name in OTHER_WORDS_ON_STDERR:
        assert err.count("\n") == 1
    else:
        assert err == (folder / "stderr").read_text()


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl as the oracle of its own looks_like_number")
def test_looks_like_number_agrees_with_perl() -> None:
    chance = random.Random(1)
    pieces = ["0 but true", "Infinity", "1.#INF", "1#IND", "#QNAN", "(0x1f)", "(1)", "()", "inf", "INF", "nan", "NaN"]
    pieces += ["27", "NA", *"01.eE+-qs_x,# \t\r\x0b\xa0\xb2"]
    texts = ["".join(chance.choices(pieces, k=chance.randint(0, 4))) for _ in range(20_000)]
    program = (
        'use Scalar::Util "looks_like_number"; $/ = "\\0"; while (<>) { chomp; print looks_like_number($_) ? 1 : 0 }'
    )
    data = "".join(text + "\0" for text in texts).encode("latin-1")
    answers = subprocess.run(["perl", "-e", program], input=data, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert [
        text for text, answer in zip(texts, answers, strict=True) if looks_like_number(text) != (answer == "1")
    ] == []


@pytest.mark.parametrize("seed", range(12))
def test_columns_at_once_give_what_single_rows_give(seed: int) -> None:
    chance = random.Random(seed)
    width = chance.choice((1, 2, 5, 12))
    values = ["", "0", "1", "17", "NA", "x", "1.5", "-2", "é", " ", "nan", "5\r"]
    often = [values[chance.randrange(4) :] for _ in range(width)]

    def row() -> str:
        odd = chance.random()
        cells = [chance.choice(column) for column in often]
        if odd < 0.01:
            return ",".join(cells[: chance.randrange(width + 1)])
        return ",".join([*cells, "more"] if odd < 0.02 else cells)

    header = ",".join(f"c{index}" for index in range(width))
    text = "\n".join([header, *(row() for _ in range(3000))]) + "\n"
    label = chance.randrange(-width, width)
    assert by_columns(text, label) == row_by_row(text, label)


def test_a_repeating_tail_may_stop_repeating() -> None:
    calm = [f"{n},{n % 7},NA,0,NA,YES" for n in range(4000)]
    wild = [f"{n},{n % 7},{n * 3},{n / 8},x{n},{'YNM'[n % 3]}" for n in range(8000)]
    text = "\n".join(["a,b,c,d,e,y", *calm, *wild, *calm])
    for label in (-1, 0, 2):
        assert by_columns(text, label) == row_by_row(text, label)


def test_rows_without_a_header_are_named_by_number_and_counted_over_all_files(csv2vw: Run) -> None:
    assert csv2vw("1", "one.csv", "two.csv", one="5,A\n6,B\n", two="7,A") == (
        0,
        "1 1|f 0:5\n2 2|f 0:6\n1 3|f 0:7\n",
        "",
    )


def test_the_header_is_the_first_line_of_all_files_together(csv2vw: Run) -> None:
    repeated = csv2vw("-h", "1", "one.csv", "two.csv", one="a,y\n1,0\n", two="a,y\n2,1\n")
    assert repeated[:2] == (0, "0 1|f a:1\n1 2|f a=a\n1 3|f a:2\n")
    assert "two.csv: its first line repeats the header" in repeated[2]
    assert csv2vw("-h", "1", "one.csv", "two.csv", two="2,1\n") == (0, "0 1|f a:1\n1 2|f a:2\n", "")


def test_reads_standard_input_where_no_file_is_named(csv2vw: Run) -> None:
    assert csv2vw("-h", "2", stdin=PLAIN[0].encode())[:2] == (0, PLAIN[1])
    assert csv2vw("-h", "2", "-", stdin=PLAIN[0].encode())[:2] == (0, PLAIN[1])
    assert csv2vw("--upstream", "-l", "2", stdin=PLAIN[0].encode())[:2] == (0, "1 1| a:1 b=x\n")


def test_carriage_returns_and_a_missing_last_newline(csv2vw: Run) -> None:
    crlf = "a,b,y\r\n1,x,1\r\n2,,0"
    assert csv2vw("-h", "0", "in.csv", **{"in": crlf})[1] == "1 1|f b=x y\r:1\r\n2 2|f b= y\r:0\n".replace(
        "\r:0", "\r:0"
    )
    assert csv2vw("--upstream", "-l", "-1", "in.csv")[1] == "1 1| a:1 b=x\n0 2| a:2\n"


def test_bytes_that_are_not_utf8_pass_through(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"n\xe4me,y\nM\xfcller,1\n")
    assert main(["-h", "1", str(path)]) == 0
    assert capfdbinary.readouterr().out == b"1 1|f n\xe4me=M\xfcller\n"


def test_upstream_ends_at_bytes_that_are_not_utf8(csv2vw: Run) -> None:
    rows = b"a,y\n" + b"1,2\n" * 4000 + b"\xfc,1\n"
    code, out, err = csv2vw("--upstream", "-l", "1", "in.csv", **{"in": rows})
    assert (code, out.count("\n")) == (1, 8192 // 4 - 1)  # the script decoded 8 KiB at a time
    assert "not UTF-8" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("separator", "row"),
    [
        ("[;,]", "1;x,1"),
        (r"\s+", "1  x \t1"),
        (r"\|", "1|x|1"),
        (";", "1;x;1"),
        ("[[:space:]]+", "1 x  1"),
        (" *- *", "1 -x- 1"),
    ],
)
def test_fields_are_separated_by_a_regular_expression(csv2vw: Run, separator: str, row: str) -> None:
    assert csv2vw("-s", separator, "2", "in.csv", **{"in": row})[1] == "1 1|f 0:1 1=x\n"
    assert csv2vw(f"-s{separator}", "2", "in.csv")[1] == "1 1|f 0:1 1=x\n"


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl as the oracle of its own split")
@pytest.mark.parametrize(
    "regex", ["", ",", "[,\t]", " ", " *", ",*", "(,)|;", "|", ".", r"\s*,\s*", "(?=,)", r"\h", r"\v", r"\x{2c}", "x?"]
)
def test_split_agrees_with_perl(regex: str) -> None:
    lines = ["", "a,b", ",a,,b,,", "a  b", " , ", "axb,;c", "x", "a;b,c", ",,,"]
    program = r'$s = shift; while (<STDIN>) { chomp; print join("\x01", map { $_ // "" } split($s, $_)), "\n" }'
    data = "".join(line + "\n" for line in lines).encode()
    out = subprocess.run(["perl", "-e", program, regex], input=data, stdout=subprocess.PIPE, check=True).stdout.decode()
    fields = [[field or "" for field in Separator(regex).fields(line)] for line in lines]
    assert ["\x01".join(found) for found in fields] == out.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-1", "in.csv"), "csv2vw -- -1 FILE"),
        (("-hz", "in.csv"), "unknown option '-z'"),
        (("-s",), "-s needs a regular expression"),
        (("-s", "(", "in.csv"), "not a regular expression"),
        (("-h", "0", "nowhere.csv"), "cannot read 'nowhere.csv': No such file or directory"),
        (("-h", "0", "in.csv", "nowhere.csv"), "cannot read 'nowhere.csv'"),
        (("-h", "0", "."), "cannot read '.': Is a directory"),
        (("--upstream", "-z", "in.csv"), "unknown option '-z'"),
        (("--upstream", "-s", "(", "in.csv"), "not a regular expression"),
        (("--upstream", "-l"), "expected one argument"),
        (("--upstream", "nowhere.csv"), "cannot read 'nowhere.csv'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(csv2vw: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = csv2vw(*arguments, **{"in": PLAIN[0]})
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("label", ["-4", "3"])
def test_a_label_column_that_is_not_there_is_an_error(csv2vw: Run, label: str) -> None:
    assert csv2vw("-h", "--", label, "in.csv", **{"in": PLAIN[0]})[:2] == (25, "")
    assert csv2vw("--upstream", "-l", label, "in.csv")[:2] == (1, "")


def test_an_empty_input_is_no_error(csv2vw: Run) -> None:
    assert csv2vw("-h", "0", "in.csv", **{"in": ""}) == (0, "", "")
    assert csv2vw("--upstream", "in.csv") == (0, "", "")


def test_verbose_says_what_the_script_said_on_stderr_only(csv2vw: Run) -> None:
    assert csv2vw("-v", "-h", "2", "in.csv", **{"in": PLAIN[0]}) == (0, PLAIN[1], "LabelColArg=2 @ARGV=(in.csv)\n")


def test_an_empty_separator_is_the_default_one(csv2vw: Run) -> None:
    assert csv2vw("-h", "-s", "", "2", "in.csv", **{"in": PLAIN[0]})[1] == PLAIN[1]


def test_a_group_that_matched_nothing_is_no_feature(csv2vw: Run) -> None:
    assert csv2vw("-s", "(,)|;", "0", "in.csv", **{"in": "1;2,3\n"})[1] == "1 1|f 2:2 3=, 4:3\n"
    assert csv2vw("--upstream", "-H", "-s(,)|;", "-l", "0", "in.csv")[1] == "1 0| 2:2 3=, 4:3\n"
    assert csv2vw("--upstream", "-H", "-s(,)|;", "-l", "0", "-e", "in.csv")[0] == 1


def test_exact_passes_over_what_perl_passed_over(csv2vw: Run) -> None:
    code, out, err = csv2vw("--exact", "-hz", "2", "nowhere.csv", "in.csv", **{"in": PLAIN[0]})
    assert (code, out) == (0, PLAIN[1])
    assert "Unknown option: z\n" in err
    assert "nowhere.csv" in err
    assert csv2vw("--exact", "0", "nowhere.csv")[:2] == (0, "")


def test_exact_ends_where_the_python_script_ended(csv2vw: Run) -> None:
    assert csv2vw("--exact", "--upstream", "nowhere.csv")[:2] == (1, "")
    assert csv2vw("--exact", "--upstream", "-l", "0", stdin=b"y\n1\n")[:2] == (1, "")


@pytest.mark.parametrize(("content", "code"), [("a,b\n", 25), ("a,b\n1,2\n", 25), ("a,b", 255), ("\n", 25)])
def test_no_label_column_ends_with_the_number_that_perl_ended_with(csv2vw: Run, content: str, code: int) -> None:
    assert csv2vw("9", "in.csv", **{"in": content})[:2] == (code, "")
    assert csv2vw("9", stdin=content.encode())[:2] == (255, "")


def test_upstream_takes_a_file_whose_name_is_a_number(csv2vw: Run) -> None:
    (csv2vw.folder / "3").write_text("a,y\n7,1\n")
    assert csv2vw("--upstream", "-l", "1", "3")[:2] == (0, "1 1| a:7\n")


def test_upstream_leaves_rows_without_features_and_labels_standing(csv2vw: Run) -> None:
    assert csv2vw("--upstream", "-l", "0", "-b", "in.csv", **{"in": "y,a\n0,0\n,\n"})[1] == "-1 1|\n 2|\n"


@pytest.mark.parametrize(("grammar", "words"), [((), "-h "), (("--upstream",), "--labelcol")])
def test_help_names_the_options(grammar: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([*grammar, "--help"])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 0
    assert words in capsys.readouterr().out


def test_a_row_from_a_pipe_comes_out_before_the_next_goes_in() -> None:
    command = [sys.executable, "-m", "tools.csv2vw", "-h", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, 4):
            process.stdin.write(b"a,y\n1,0\n" if number == 1 else b"1,0\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"0 {number}|f a:1\n".encode()


def test_a_closed_output_ends_the_command_quietly(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("1,2,3\n" * 200_000)
    command = [sys.executable, "-m", "tools.csv2vw", "0", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_memory_stays_constant_over_values_that_never_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.csv2vw_parts.perl.TABLE_ENTRIES", 8_000)
    monkeypatch.setattr("tools.csv2vw_parts.tails.TAILS_KEPT", 2_000)
    conversion = Conversion(Separator(","), -1, True, lambda _: None)
    peaks = []
    tracemalloc.start()
    for start in range(0, 60_000, 2000):
        text = "\n".join(f"{n}x,{n / 7},NA{n},{n % 2}" for n in range(start, start + 2000))
        for _ in conversion.convert(Chunk("in.csv", text, start == 0)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[-1] <= peaks[9] * 1.02
