"""The row that recovers: kill -9, restart, restore, replay, beside learning the same events the first time."""

import asyncio
import hashlib
import tempfile
import time
from typing import Any

from stream_app.service import Service
from stream_app.settings import Settings
from tools.bench.backlog import caught_up, settings, until, with_service
from tools.bench.child import tell
from tools.bench.children import in_child, killed
from tools.bench.row import BenchError, Measured, Row, Run, compared


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "recover", "after kill -9: restore the last checkpoint and replay what was learnt after it",
            "learning the same events the first time", "at least", 1.0, "x", recover,
        )
    ]  # fmt: skip


def recover(run: Run) -> Measured:
    """The same backlog both times, no checkpoint within it; ours pays for the restore, no side for its imports.

    The reference is at its best: its events lie ready, where a first time usually waits for them to be appended.
    """
    log = str(run.log("json", run.passes))
    firsts, agains = [], []
    for number in range(1, run.repeats + 1):
        run.say(f"kill -9 and restart, {number} of {run.repeats}")
        with tempfile.TemporaryDirectory(dir=run.folder) as home:
            with killed("recover:first", log=log, home=home, after=run.stream.events // 4) as first:
                firsts.append(first)
            agains.append(in_child("recover:again", log=log, home=home))
    if any(first["learner"] != again["learner"] for first, again in zip(firsts, agains, strict=True)):
        raise BenchError("the model after kill -9 is not the model before")
    rates = [[one["events"] / one["seconds"] for one in side] for side in (agains, firsts)]
    restore_ms = min(again["restore_s"] for again in agains) * 1000.0
    return compared("events/s", *rates, events=agains[0]["events"], restore_ms=restore_ms)


def first(log: str, home: str, after: float) -> None:
    """Take a checkpoint after so many events, learn the rest, tell how long that took, and wait for the end."""

    async def learnt(service: Service, port: int) -> None:
        await until(lambda: service.trainer.counts.records >= after, 0.001)
        await service.checkpoint()
        before, began = service.trainer.counts.records, time.perf_counter()
        await caught_up(service)
        seconds = time.perf_counter() - began
        tell(_said(service, service.trainer.counts.records - before, seconds))
        await asyncio.Event().wait()

    with_service(_settings(log, home), learnt)


def again(log: str, home: str) -> dict[str, Any]:
    """Restore and replay, from before the service is made until it has caught up."""
    began = time.perf_counter()

    async def replayed(service: Service, port: int) -> dict[str, Any]:
        restore_s, before = time.perf_counter() - began, service.trainer.counts.records
        await caught_up(service)
        seconds = time.perf_counter() - began
        return _said(service, service.trainer.counts.records - before, seconds) | {"restore_s": restore_s}

    return with_service(_settings(log, home), replayed)


def _settings(log: str, home: str) -> Settings:
    return settings(f"log:{log}", home, "json", checkpoints={"every_events": 10**9, "every_s": 3600.0})


def _said(service: Service, events: int, seconds: float) -> dict[str, Any]:
    state = service.trainer.parts.learner.state()
    return {"events": events, "seconds": seconds, "learner": hashlib.sha256(state).hexdigest()}
