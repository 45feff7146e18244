"""The row of deploying: how long answers take while a tag is swapped back and forth, beside one that stays."""

import asyncio
import itertools
import tempfile
from pathlib import Path

from checkpoints.tags import By
from stream_app.service import Service
from tools.bench import predict
from tools.bench.backlog import caught_up, settings, until, with_service
from tools.bench.child import tell
from tools.bench.children import child, in_child
from tools.bench.row import BenchError, Measured, Row, Run, alternate
from tools.bench.stream import APPEND, json_events

RATE = 200.0
SWAPS_PER_S = 25.0
"""A hundred swaps in the four seconds of a measurement."""

TAG = "bench.production"


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "swaps", "POST /tag/TAG/predict p99 at 200 requests/s, the tag deployed 25 times a second",
            "the same, the tag stays", "at most", 2.0, "x", swaps,
        )
    ]  # fmt: skip


def swaps(run: Run) -> Measured:
    """Two checkpoints of the stream, one of half of it; nothing is learnt meanwhile."""
    found, theirs = alternate(
        run, predict.paced_repeats(run), lambda: _paced(run, is_swapped=True), lambda: _paced(run, is_swapped=False)
    )
    measured = predict.latencies([ms for ms, _ in found], [ms for ms, _ in theirs], "swapping", "steady")
    measured.notes["swaps"] = sum(swapped for _, swapped in found)
    return Measured(measured.ours, measured.reference, measured.ours.shown / measured.reference.shown, measured.notes)


def serve(home: str, events: str, is_swapped: float) -> None:
    """Learn the stream in two halves, deploy; tells the port, then swaps until terminated where asked to."""
    count = len(Path(events).read_bytes().splitlines())
    payloads = json_events(Path(events), 100)

    async def serving(service: Service, port: int) -> None:
        models = []
        for _ in range(2):
            for _ in range(0, count // 2, APPEND):
                await service.source.append(list(itertools.islice(payloads, APPEND)))
            await caught_up(service)
            models.append(await service.checkpoint())
        for model in models:
            await service.deployments.deploy(TAG, model, By("bench"))
        tell({"port": port})
        turns = itertools.cycle(models)
        while is_swapped and not service.is_stopping:
            await service.deployments.deploy(TAG, next(turns), By("bench"))
            await asyncio.sleep(1 / SWAPS_PER_S)
        await until(lambda: service.is_stopping, 0.1)

    with_service(settings(f"log:{home}/log", home, "json"), serving)


def history(home: str) -> dict[str, float]:
    """How often the tag was deployed so far."""
    return {"entries": float(len(list(Path(home, "checkpoints/ledgers/tags", TAG).iterdir())))}


def _paced(run: Run, *, is_swapped: bool) -> tuple[list[float], int]:
    """Milliseconds that each answer took, and how many swaps there were meanwhile."""
    with (
        tempfile.TemporaryDirectory(dir=run.folder) as home,
        child("swaps:serve", home=home, events=str(run.stream.json), is_swapped=is_swapped) as at,
    ):
        before = in_child("swaps:history", home=home)["entries"]
        took_ms = predict.paced(run, at["port"], f"/tag/{TAG}/predict", RATE)
        swapped = int(in_child("swaps:history", home=home)["entries"] - before)
    if bool(swapped) != is_swapped:
        raise BenchError(f"the tag was swapped {swapped} times")
    return took_ms, swapped
