"""The row that converts: `csv2vw` beside a loop that only reads the rows."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tools.bench.children import in_child
from tools.bench.row import BenchError, Figure, Measured, Note, Row, Run, alternate
from tools.csv2vw import main
from tools.csv2vw_parts import modern, perl_command

READERS = (perl_command, modern)
"""Loaded before anything is timed, as start-up is left out."""
LABEL_LAST = ["-h", "--", "-1"]


def rows() -> list[Row]:
    """The rows of this subject."""
    loop = "a bare csv.reader loop"
    return [
        Row("csv2vw", "csv2vw on the stream's CSV file (UTF-8)", loop, "at most", 2.0, "x", csv2vw),
        Row("csv2vw-quoted", "its modern reader, quoting and escaping", loop, "at most", 3.0, "x", csv2vw_quoted),
    ]


def csv2vw(run: Run) -> Measured:
    """The plain path, in the grammar of the Perl script."""
    return _measured(run, str(run.stream.csv), LABEL_LAST)


def csv2vw_quoted(run: Run) -> Measured:
    """The modern reader on the same file; in the notes, on a copy in which every text is quoted."""
    path, label = str(run.stream.csv), ["--label", _last_column(run.stream.csv)]
    found = _measured(run, path, label)
    quoted = str(run.folder / "quoted.csv")
    _write_quoted(run.stream.csv, Path(quoted))
    loop = min(in_child("convert:read", path=quoted)["seconds"] for _ in range(run.repeats))
    ours = min(_convert_s(quoted, label) for _ in range(run.repeats))
    return msgspec.structs.replace(found, notes={**found.notes, "quoted_file_s": ours, "quoted_file_reference_s": loop})


def _last_column(path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream))[-1]


def _write_quoted(path: Path, quoted: Path) -> None:
    with path.open(newline="", encoding="utf-8") as stream, quoted.open("w", newline="", encoding="utf-8") as copy:
        for row in csv.reader(stream):
            copy.write(",".join(cell if cell.isdecimal() else f'"{cell}"' for cell in row) + "\n")


def _convert_s(path: str, options: list[str]) -> float:
    return float(in_child("convert:convert", path=path, options=" ".join(options))["seconds"])


def _measured(run: Run, path: str, options: list[str]) -> Measured:
    """The work itself, each time in a fresh process; whole processes, start-up included, stand in the notes."""

    def ours() -> tuple[float, float]:
        return _convert_s(path, options), _process_s(["-m", "tools.csv2vw", *options, path])

    def reference() -> tuple[float, float]:
        bare = f"import csv\nfor row in csv.reader(open({path!r}, newline='')): pass"
        return in_child("convert:read", path=path)["seconds"], _process_s(["-c", bare])

    mine, theirs = alternate(run, run.repeats + 3, ours, reference)
    figures = [Figure.times("s", [seconds for seconds, _ in side]) for side in (mine, theirs)]
    notes: dict[str, Note] = {
        "ratio_of_medians": figures[0].median / figures[1].median,
        "ours_process_s": min(process for _, process in mine),
        "reference_process_s": min(process for _, process in theirs),
        "rows": run.stream.events,
    }
    return Measured(figures[0], figures[1], figures[0].best / figures[1].best, notes)


def convert(path: str, options: str) -> dict[str, float]:
    """The command in this process with these options (blanks part them), its output thrown away."""
    told = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    started = time.perf_counter()
    code = main([*options.split(), path])
    seconds = time.perf_counter() - started
    os.dup2(told, 1)
    if code:
        raise BenchError(f"csv2vw ended with {code}")
    return {"seconds": seconds}


def read(path: str) -> dict[str, float]:
    """The rows, and nothing done with them."""
    started = time.perf_counter()
    with Path(path).open(newline="", encoding="utf-8") as stream:
        for _ in csv.reader(stream):
            pass
    return {"seconds": time.perf_counter() - started}


def _process_s(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
