"""The real service in a child process, as `weir serve` runs it, with a backlog to learn. Everything is a default."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import uvloop

from stream_app import config
from stream_app.config import Settings
from stream_app.running import run
from stream_app.service import Service
from tools.bench.child import tell

Result = TypeVar("Result")

ARGS = "--loss_function logistic --link logistic"
"""What the references are given: the default arguments of the service for a binary task."""


def settings(log: str, home: str, format_: str, **more: dict[str, Any]) -> Settings:
    """Defaults, with everything kept below `home` and any free port."""
    sections: dict[str, dict[str, Any]] = {
        "source": {"url": f"log:{log}"},
        "checkpoints": {"url": f"{home}/checkpoints"},
        "state": {"dir": f"{home}/state"},
        "events": {"format": format_},
        "http": {"port": 0},
    }
    return config.of({name: {**section, **more.get(name, {})} for name, section in sections.items()})


def learn(log: str, home: str, format_: str) -> dict[str, float]:
    """Learn a backlog to its end; the time is from the first answer over HTTP to the last event learnt."""
    return with_service(settings(log, home, format_), _learnt)


def serve(log: str, home: str, is_caught_up: float) -> None:
    """Serve until terminated; tells the port, where asked for once everything is learnt."""

    async def serving(service: Service, port: int) -> None:
        if is_caught_up:
            await caught_up(service)
        tell({"port": port})
        await until(lambda: service.is_stopping, 0.1)

    with_service(settings(log, home, "json"), serving)


def with_service(settings: Settings, use: Callable[[Service, int], Awaitable[Result]]) -> Result:
    """What `use` returns, given a running service and its port; the service is closed afterwards."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_used(settings, use))


async def caught_up(service: Service) -> None:
    """Wait until everything is learnt."""
    await until(lambda: not service.lag, 0.002)


async def until(is_true: Callable[[], bool], step_s: float) -> None:
    """Wait for a condition. It is asked again and again, as the service announces nothing."""
    while not is_true():  # noqa: ASYNC110
        await asyncio.sleep(step_s)


async def _used(settings: Settings, use: Callable[[Service, int], Awaitable[Result]]) -> Result:
    service = Service(settings)
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(service, started.set_result))
    try:
        await until(lambda: started.done() or running.done(), 0.001)
        if not started.done():
            await running
        return await use(service, await started)
    finally:
        service.stop()
        await running


async def _learnt(service: Service, port: int) -> dict[str, float]:
    before, began = service.trainer.counts.records, time.perf_counter()
    await caught_up(service)
    seconds = time.perf_counter() - began
    counts = service.trainer.counts
    return {
        "events": counts.records - before,
        "seconds": seconds,
        "learnt": counts.records - counts.dead_letters - counts.duplicates,
        "checkpoints": len(service.store.list()),
    }
