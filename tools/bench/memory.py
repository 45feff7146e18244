"""The row of memory: what a service holds after millions of events, beside what it held after the first 100,000."""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stream_app.service import Service
from tools.bench.backlog import caught_up, settings, until, with_service
from tools.bench.children import in_child
from tools.bench.row import BenchError, Figure, Measured, Note, Row, Run

BASE = 100_000
EVENTS, QUICK_EVENTS = 5_000_000, 500_000
AHEAD = 20_000
"""Events that may lie in the log and not be learnt yet: what is fed waits for what is learnt."""
RETAIN_BYTES = 16 << 20
READ_BYTES = 1 << 18
"""Of events in one append: about 1,000 of them."""
SAMPLES = 50
_PAGE = os.sysconf("SC_PAGE_SIZE")


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "memory", "memory of the service over 5 million events, no two alike", "after the first 100,000",
            "at most", 5.0, "%", memory,
        )
    ]  # fmt: skip


def memory(run: Run) -> Measured:
    """Resident memory at the end against that after 100,000 events, in one service with retention."""
    events = QUICK_EVENTS if run.is_quick else EVENTS
    run.say(f"{events:,} events")
    with tempfile.TemporaryDirectory(dir=run.folder) as home:
        fed: dict[str, Any] = in_child("memory:feed", log=f"{home}/log", home=home, events=events)
    seen: list[float] = fed["mb"]
    end, base = statistics.median(seen[-5:]), fed["base_mb"]
    notes: dict[str, Note] = {
        "events": events,
        "peak_mb": max(seen),
        "all_mb": seen,
        "growth_after_a_fifth_percent": 100.0 * (end / seen[len(seen) // 5] - 1.0),
        "events_per_s": events / fed["seconds"],
    }
    return Measured(Figure.times("MB", [end]), Figure.times("MB", [base]), 100.0 * (end / base - 1.0), notes)


def feed(log: str, home: str, events: int) -> dict[str, Any]:
    """Append and learn, and look at this process's resident memory now and then."""

    async def fed(service: Service, port: int) -> dict[str, Any]:
        began = time.perf_counter()
        watching = asyncio.create_task(_watch(service, events))
        await _append(service, events)
        await caught_up(service)
        base, *seen = await watching
        counts = service.trainer.counts
        if counts.dead_letters or counts.duplicates or counts.records != events:
            raise BenchError(f"not every event was learnt: {counts}")
        return {"base_mb": base, "mb": seen, "seconds": time.perf_counter() - began}

    return with_service(settings(f"log:{log}", home, "json", source={"retain_bytes": RETAIN_BYTES}), fed)


async def _append(service: Service, events: int) -> None:
    """From the generating process into the log, by the durable appends that a request makes."""
    generator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.bench.synthetic", str(events), stdout=asyncio.subprocess.PIPE, limit=4 * READ_BYTES
    )
    if generator.stdout is None:
        raise BenchError("the generator has no output")
    rest = b""
    while data := await _read(generator.stdout):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            await service.source.append(lines)
        await until(lambda: (service.lag or 0) <= AHEAD, 0.005)
    await generator.wait()


async def _read(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readexactly(READ_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def _watch(service: Service, events: int) -> list[float]:
    """Memory after 100,000 events, then evenly until the end."""
    marks = [BASE, *(BASE + (events - BASE) * number // SAMPLES for number in range(1, SAMPLES + 1))]
    seen = []
    for mark in marks:
        await _reached(service, mark)
        seen.append(_resident_mb())
    return seen


async def _reached(service: Service, records: int) -> None:
    await until(lambda: service.trainer.counts.records >= records, 0.005)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6
