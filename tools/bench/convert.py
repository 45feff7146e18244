"""The row that converts: `csv2vw` beside a loop that only reads the rows."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

from tools.bench.children import in_child
from tools.bench.row import BenchError, Figure, Measured, Note, Row, Run, alternate
from tools.csv2vw import main

LABEL_LAST = ["-h", "--", "-1"]


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row("csv2vw", "csv2vw on the stream's CSV file (UTF-8)", "a bare csv.reader loop", "at most", 2.0, "x", csv2vw)
    ]


def csv2vw(run: Run) -> Measured:
    """The work itself, each time in a fresh process; whole processes, start-up included, stand in the notes."""
    path = str(run.stream.csv)

    def ours() -> tuple[float, float]:
        return in_child("convert:convert", path=path)["seconds"], _process_s(["-m", "tools.csv2vw", *LABEL_LAST, path])

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


def convert(path: str) -> dict[str, float]:
    """The command in this process, its output thrown away."""
    told = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    started = time.perf_counter()
    code = main([*LABEL_LAST, path])
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
