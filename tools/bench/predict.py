"""Rows that predict: requests per second beside an empty handler, and latency while a backlog is learnt."""

import asyncio
import gc
import statistics
import tempfile
from typing import Any

import uvloop
from aiohttp import web

from tools.bench.child import tell
from tools.bench.children import child, in_child
from tools.bench.row import BenchError, Figure, Measured, Note, Row, Run, alternate, compared

CONNECTIONS = 16
PACED_CONNECTIONS = 4
RATE = 300.0


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "predict", "POST /predict alone, 16 connections", "the same aiohttp server, an empty handler",
            "at least", 0.5, "x", throughput,
        ),
        Row(
            "latency", "POST /predict p99 while a backlog is learnt at full speed", "the same, idle",
            "under", 5.0, "ms", latency,
        ),
    ]  # fmt: skip


def throughput(run: Run) -> Measured:
    """Closed loop, so both are as busy as they can be; the generator is a process of its own."""
    log = str(run.log("json", 1))
    seconds = 1.0 if run.is_quick else 3.0

    def rate(port: int, is_with_ids: bool = False) -> float:
        asked: dict[str, float] = in_child(
            "load:flat_out", port=port, events=str(run.stream.json), connections=CONNECTIONS, seconds=seconds,
            ids=is_with_ids,
        )  # fmt: skip
        return asked["requests_per_s"]

    def ours() -> tuple[float, float]:
        with (
            tempfile.TemporaryDirectory(dir=run.folder) as home,
            child("backlog:serve", log=log, home=home, is_caught_up=1) as at,
        ):
            return rate(at["port"]), rate(at["port"], is_with_ids=True)

    def reference() -> float:
        with child("predict:serve_empty") as at:
            return rate(at["port"])

    mine, theirs = alternate(run, run.repeats, ours, reference)
    with_ids = max(rates[1] for rates in mine)
    return compared("requests/s", [rates[0] for rates in mine], theirs, ours_with_ids=with_ids)


def latency(run: Run) -> Measured:
    """Open loop at a moderate rate."""
    busy_log, idle_log = str(run.log("json", 8 if run.is_quick else 16)), str(run.log("json", 1))
    busy, idle = alternate(run, paced_repeats(run), lambda: _while(run, busy_log, 0), lambda: _while(run, idle_log, 1))
    return latencies(busy, idle, "learning", "idle")


def latencies(ours: list[list[float]], reference: list[list[float]], when: str, else_: str) -> Measured:
    """Milliseconds of every answer of several runs. The result is the median of their p99: the best would flatter."""
    mine = Figure.latencies("ms, p99", [_percentile(took, 99) for took in ours])
    theirs = Figure.latencies("ms, p99", [_percentile(took, 99) for took in reference])
    notes: dict[str, Note] = {
        "requests": sum(map(len, ours)),
        "requests_per_s": RATE,
        f"p50_{when}_ms": statistics.median([_percentile(took, 50) for took in ours]),
        f"p50_{else_}_ms": statistics.median([_percentile(took, 50) for took in reference]),
        f"max_{when}_ms": max(map(max, ours)),
        f"max_{else_}_ms": max(map(max, reference)),
    }
    return Measured(mine, theirs, mine.shown, notes)


def paced_repeats(run: Run) -> int:
    """How often each side of a row of latencies is measured."""
    return 1 if run.is_quick else 3


def paced(run: Run, port: int, path: str = "/predict", rate: float = RATE) -> list[float]:
    """Milliseconds that each answer of the service at a port took, asked at a rate for a while."""
    load: dict[str, list[float]] = in_child(
        "load:paced", port=port, events=str(run.stream.json), connections=PACED_CONNECTIONS, rate=rate,
        seconds=2.0 if run.is_quick else 4.0, path=path,
    )  # fmt: skip
    return load["ms"]


def serve_empty() -> None:
    """What aiohttp can do at most: the same server and loop, and a handler that does nothing."""
    uvloop.run(_serve_empty())


async def _serve_empty() -> None:
    async def empty(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/predict", empty)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gc.collect()
    gc.freeze()
    tell({"port": runner.addresses[0][1]})
    await asyncio.Event().wait()


def _while(run: Run, log: str, is_caught_up: int) -> list[float]:
    with (
        tempfile.TemporaryDirectory(dir=run.folder) as home,
        child("backlog:serve", log=log, home=home, is_caught_up=is_caught_up) as at,
    ):
        took_ms = paced(run, at["port"])
        lag = in_child("predict:status", port=at["port"])["lag"]
    if bool(lag) == bool(is_caught_up):
        raise BenchError(f"{lag} events were left to learn when the last request was answered")
    return took_ms


def status(port: int) -> dict[str, Any]:
    """What the service at a port says of itself."""
    from stream_app.http.client import Client

    async def asked() -> dict[str, Any]:
        async with Client(f"http://127.0.0.1:{port}") as client:
            found: dict[str, Any] = await client.get("/status")
            return found

    return asyncio.run(asked())


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
