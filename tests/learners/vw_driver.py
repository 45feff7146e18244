"""VW's own driver on a file, and `weir train` on the same one: what each printed, predicted and counted."""

import asyncio
import io
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from stream_app import config
from stream_app.summary import Trained
from stream_app.training import TrainJob, train

TITLES = {
    "examples": "number of examples",
    "weighted_examples": "weighted example sum",
    "weighted_label_sum": "weighted label sum",
    "average_loss": "average loss",
    "total_features": "total feature number",
}


class Run(msgspec.Struct, frozen=True):
    """One run: its standard error, its prediction file, and its figures (None for `n.a.`)."""

    printed: str
    predicted: bytes
    figures: dict[str, float | None]


def driver(path: Path, arguments: list[str], predictions: Path) -> Run:
    """`vw -d PATH ARGUMENTS -p PREDICTIONS`. What it logs, on standard output, is not part of the result."""
    command = [sys.executable, "-m", "vowpalwabbit", "-d", str(path), *arguments, "-p", str(predictions)]
    done = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    printed = done.stderr.decode()
    return Run(printed, predictions.read_bytes(), figures(printed))


def weir(path: Path, arguments: str, predictions: Path) -> Run:
    """`weir train PATH --format vw --vw-args ARGUMENTS -p PREDICTIONS`."""
    err = io.StringIO()
    override = {"events": {"format": "vw"}, "learner": {"kind": "vw", "args": arguments}}
    settings = config.load(None, override=override)
    job = TrainJob(settings=settings, files=(str(path),), predictions=str(predictions), is_task_given=False)
    trained = asyncio.run(train(job, err))
    return Run(err.getvalue(), predictions.read_bytes(), {name: figure(trained, name) for name in TITLES})


def weir_apart(path: Path, arguments: str, predictions: Path) -> Run:
    """The same in a process of its own: VW spoils its process where learners of continuous actions end their run."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(weir, path, arguments, predictions).result()


def figures(printed: str) -> dict[str, float | None]:
    """The summary that VW printed."""
    lines = dict(line.split(" = ", 1) for line in printed.splitlines() if " = " in line)
    found = {name: lines[title].split()[0] for name, title in TITLES.items() if title in lines}
    return {name: None if text in ("n.a.", "undefined") else float(text) for name, text in found.items()}


def figure(trained: Trained, name: str) -> float | None:
    value = getattr(trained, name)
    return None if value is None else float(value)
