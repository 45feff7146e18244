"""The row of a follower: how long answers take while it swaps models, beside a follower whose model stays."""

import asyncio
import itertools
import tempfile
from pathlib import Path
from typing import Any

from checkpoints import open_store
from stream_app.service import Service
from tools.bench import predict
from tools.bench.backlog import settings, until, with_service
from tools.bench.child import tell
from tools.bench.children import child, in_child
from tools.bench.row import BenchError, Measured, Row, Run, alternate
from tools.bench.stream import APPEND, json_events

SWAP_S = 1.0
NEW = 100
"""Events learnt between two checkpoints: enough for another model, too few to keep a core busy."""


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "follow", "POST /predict p99 on a follower that takes over a new checkpoint every second",
            "the same, the checkpoint stays", None, None, "ms", follow,
        )
    ]  # fmt: skip


def follow(run: Run) -> Measured:
    """Learner and follower are processes of their own on both sides; the learner of the reference does nothing."""
    found, theirs = alternate(
        run, predict.paced_repeats(run), lambda: _paced(run, is_swapped=True), lambda: _paced(run, is_swapped=False)
    )
    measured = predict.latencies([ms for ms, _ in found], [ms for ms, _ in theirs], "swapping", "idle")
    measured.notes["checkpoints"] = sum(taken for _, taken in found)
    return measured


def learn(home: str, events: str, is_swapped: float) -> None:
    """Learn the stream once, take a checkpoint and tell; then, where asked to, learn a little for one each second."""
    count = len(Path(events).read_bytes().splitlines())
    payloads = json_events(Path(events), 100)

    async def learning(service: Service, port: int) -> None:
        for _ in range(0, count, APPEND):
            await _learn(service, list(itertools.islice(payloads, APPEND)))
        tell({"checkpoint": await service.checkpoint()})
        while not service.is_stopping:
            await asyncio.sleep(SWAP_S)
            if is_swapped and not service.is_stopping:
                await _learn(service, list(itertools.islice(payloads, NEW)))
                await service.checkpoint()

    with_service(settings(f"log:{home}/log", home, "json"), learning)


def serve(home: str) -> None:
    """Follow what the learner has saved; tells the port once there is a model."""

    async def serving(service: Service, port: int) -> None:
        await until(lambda: not service.problems(), 0.01)
        tell({"port": port})
        await until(lambda: service.is_stopping, 0.1)

    state = {"dir": f"{home}/follower"}
    with_service(settings(f"log:{home}/log", home, "json", state=state), serving, is_follower=True)


async def _learn(service: Service, payloads: list[bytes]) -> None:
    await service.source.append(payloads)
    await until(lambda: service.is_stopping or not service.lag, 0.002)


def _paced(run: Run, *, is_swapped: bool) -> tuple[list[float], int]:
    """Milliseconds that each answer took, and how many checkpoints were taken meanwhile."""
    with (
        tempfile.TemporaryDirectory(dir=run.folder) as home,
        child("follow:learn", home=home, events=str(run.stream.json), is_swapped=is_swapped),
        child("follow:serve", home=home) as at,
    ):
        store, before = open_store(f"{home}/checkpoints"), _model(at["port"])
        known = len(store.list())
        took_ms = predict.paced(run, at["port"])
        taken, after = len(store.list()) - known, _model(at["port"])
    if (before != after) != is_swapped:
        raise BenchError(f"the follower served {before} before the requests and {after} after them")
    return took_ms, taken


def _model(port: int) -> str:
    status: dict[str, Any] = in_child("predict:status", port=port)
    return str(status["model"])
