"""The rows of monitoring: what the page, metrics and alerts cost the learner, and those who ask for predictions."""

import asyncio
import random
import statistics
import sys
import tempfile
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import nullcontext

import msgspec

from stream_app.sample import Sample
from stream_app.service import Service
from tools.bench import backlog, predict
from tools.bench.child import tell
from tools.bench.children import child, in_child
from tools.bench.row import BenchError, Measured, Row, Run, alternate, compared

EVERY_S = 1.0
CURVES_EVERY = 5
"""Seconds from one time to the next that a page asks for curves and value."""

PAIRS = 24
"""How often `watched` measures each side."""

RESAMPLED = 2_000

CELLS = [
    {"actual": actual, "predicted": predicted, "value": value}
    for actual, predicted, value in ((0, 0, 700), (0, 1, -500), (1, 0, -100), (1, 1, 700))
]


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "monitored", "JSON events from the log, learnt; value, alerts, the page open, metrics scraped each second",
            "the same without any monitoring", "at least", 0.95, "x", monitored,
        ),
        Row(
            "watched", "POST /predict p99 with the page open and metrics scraped each second",
            "the same, nobody watches", "at most", 1.1, "x", watched,
        ),
    ]  # fmt: skip


def monitored(run: Run) -> Measured:
    """Long enough for a dozen looks; both sides learn the same log."""
    log = str(run.log("json", 4 if run.is_quick else 16))

    def learnt(is_watched: float) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=run.folder) as home:
            found: dict[str, float] = in_child("watch:learn", log=log, home=home, is_watched=is_watched)
            return found

    mine, theirs = alternate(run, run.repeats, lambda: learnt(1), lambda: learnt(0))
    rates = [[one["events"] / one["seconds"] for one in side] for side in (mine, theirs)]
    return compared("events/s", *rates, looks=sum(one["looks"] for one in mine), events=mine[0]["events"])


def watched(run: Run) -> Measured:
    """One service that has learnt all, asked at a rate, and looked at by turns.

    A single p99 says little where neighbours are busy, so there are many pairs, and an interval for the ratio.
    """
    log = str(run.log("json", 1))
    with (
        tempfile.TemporaryDirectory(dir=run.folder) as home,
        child("backlog:serve", log=log, home=home, is_caught_up=1) as at,
    ):

        def paced(is_watched: bool) -> list[float]:
            with child("watch:look", port=at["port"]) if is_watched else nullcontext():
                return predict.paced(run, at["port"])

        found, theirs = alternate(run, 3 if run.is_quick else PAIRS, lambda: paced(True), lambda: paced(False))
    measured = predict.latencies(found, theirs, "watched", "alone")
    ratio = measured.ours.shown / measured.reference.shown
    low, high = interval(measured.ours.all, measured.reference.all)
    return msgspec.structs.replace(measured, result=ratio, notes={**measured.notes, "ratio_95_percent": [low, high]})


def interval(ours: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """Where the ratio of the medians lies with 95 %: the percentile bootstrap over pairs (Efron, 1979).

    >>> interval([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    (2.0, 2.0)
    """
    chance = random.Random(0)
    pairs = list(zip(ours, reference, strict=True))
    ratios = []
    for _ in range(RESAMPLED):
        mine, theirs = zip(*chance.choices(pairs, k=len(pairs)), strict=True)
        ratios.append(statistics.median(mine) / statistics.median(theirs))
    cuts = statistics.quantiles(ratios, n=40, method="inclusive")
    return cuts[0], cuts[-1]


def learn(log: str, home: str, is_watched: float) -> dict[str, float]:
    """Learn a log to its end, watched or with everything taken out that only watches."""
    value = {"value": {"cells": CELLS}} if is_watched else {}
    settings = backlog.settings(f"log:{log}", home, "json", **value)

    async def used(service: Service, port: int) -> dict[str, float]:
        looker = await _looker(port) if is_watched else None
        found = await backlog.learnt(service, port)
        looks = 0
        if looker is not None and looker.stdout is not None:
            looker.terminate()
            looks = (await looker.stdout.read()).count(b"\n")
            await looker.wait()
            if not looks:
                raise BenchError("nobody looked while it learnt")
        return {**found, "looks": looks}

    return backlog.with_service(settings, used, prepare=None if is_watched else unwatched)


def unwatched(service: Service) -> None:
    """Take out what only watches."""
    parts = service.trainer.parts
    service.trainer.parts = msgspec.structs.replace(parts, sample=Sample(0, parts.learner.traits.reads))
    watching = (
        (service.watch, "start"), (service.alerting, "start"), (service.importance, "offer"),
        (service.monitor, "learnt"), (service.monitor, "took"),
    )  # fmt: skip
    for part, name in watching:
        setattr(part, name, lambda *nothing: None)


def look(port: float) -> None:
    """What a page and Prometheus ask for, until terminated; a line for each second."""
    base = f"http://127.0.0.1:{int(port)}"
    tell({"port": port})
    _get(f"{base}/watch")
    with urllib.request.urlopen(f"{base}/watch/stream") as stream:
        frames = 0
        for line in stream:
            if not line.startswith(b"data: "):
                continue
            if frames % CURVES_EVERY == 0:
                for path in ("/progress/curves", "/progress", "/checkpoints", "/tags", "/alerts"):
                    _get(f"{base}{path}")
            _get(f"{base}/metrics")
            frames += 1
            tell({"frames": frames})


async def _looker(port: int) -> asyncio.subprocess.Process:
    arguments = f'{{"port": {port}}}'
    command = ["-m", "tools.bench.child", "watch:look", arguments]
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=PIPE, stderr=DEVNULL)


def _get(url: str) -> None:
    with urllib.request.urlopen(url) as answer:
        answer.read()
