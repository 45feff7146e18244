"""What csv2vw's modern reader reads: files as they come, rows that are bad, many rows at once, in constant memory."""

import gzip
import os
import pty
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from csv2vw_running import Run

from tools.csv2vw import main
from tools.csv2vw_parts.bad_rows import TOLD, BadRows
from tools.csv2vw_parts.modern import Conversion
from tools.csv2vw_parts.modern_options import parsed

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


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("in.tsv", lambda data: data.replace(b",", b"\t").replace(b'"', b"")),
        ("in.csv.gz", gzip.compress),
        ("in.csv.zst", lambda data: zstandard.compress(data)),
        ("in.tsv.gz", lambda data: gzip.compress(data.replace(b",", b"\t").replace(b'"', b""))),
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
    assert "in.csv:3: a quote opens on line 3, at '\"x', and is not closed within 1,048,576 bytes; --no-quotes" in err


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


def test_a_row_from_a_pipe_comes_out_before_the_next_goes_in() -> None:
    command = [sys.executable, "-m", "tools.csv2vw", "--label", "y", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, 4):
            process.stdin.write(b"y,a\n1,0\n" if number == 1 else f"{number},0\n".encode())
            process.stdin.flush()
            assert process.stdout.readline() == f"{number} | a:0\n".encode()


def seen(monitor: int) -> bytes:
    """All that is shown until the terminal is closed."""
    pieces: list[bytes] = []
    with os.fdopen(monitor, "rb", 0) as screen, suppress(OSError):
        while piece := screen.read(65536):
            pieces.append(piece)
    return b"".join(pieces)


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.csv2vw_parts.reading_progress.SHOWN_FROM_BYTES", 0)
    monkeypatch.setenv("TERM", "xterm")
    path, output = tmp_path / "in.csv", tmp_path / "out"
    path.write_text("y,a\n" + "1,2\n" * 50_000)
    monitor, terminal = pty.openpty()
    with ThreadPoolExecutor(1) as looking:
        shown = looking.submit(seen, monitor)  # a terminal takes no more where nobody looks
        with os.fdopen(terminal, "w") as stderr, output.open("w") as stdout:
            monkeypatch.setattr("sys.stderr", stderr)
            monkeypatch.setattr("sys.stdout", stdout)
            assert main(["--label", "y", str(path)]) == 0
        assert b"kB" in shown.result()
    assert output.read_text() == "1 | a:2\n" * 50_000


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


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress,
        lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]) + b"\0\0",
        lambda data: zstandard.compress(data),
        lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:]),
    ],
)
def test_a_packed_pipe_is_known_by_its_first_bytes(packed: Callable[[bytes], bytes]) -> None:
    command = [sys.executable, "-m", "tools.csv2vw", "--label", "y"]
    rows = "y,ä\n" + "".join(f"{n},{n * n}\n" for n in range(20_000))
    ran = subprocess.run(command, input=packed(rows.encode()), capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.decode() == "".join(f"{n} | ä:{n * n}\n" for n in range(20_000))


@pytest.mark.parametrize("packed", [gzip.compress, lambda data: zstandard.compress(data)])
def test_a_packed_file_without_an_ending_to_its_name_is_read(csv2vw: Run, packed: Callable[[bytes], bytes]) -> None:
    assert csv2vw("--label", "y", "--encoding", "utf-16", "in.csv", data=packed("y,ä\n1,2\n".encode("utf-16"))) == (
        0,
        "1 | ä:2\n",
        "",
    )


@pytest.mark.parametrize("packed", [gzip.compress, lambda data: zstandard.compress(data)])
def test_a_packed_stream_that_is_cut_off_is_told(csv2vw: Run, packed: Callable[[bytes], bytes]) -> None:
    code, _, err = csv2vw("--label", "y", "in.csv", data=packed(b"y,a\n" + os.urandom(1000).hex().encode())[:-300])
    assert (code, err.count("\n")) == (1, 1)
    assert "ends in the middle of its" in err
