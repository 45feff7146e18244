"""The real service in a child process, as `weir serve` runs it, with a backlog to learn. Everything is a default."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import uvloop

from stream_app import config
from stream_app.running import run
from stream_app.service import Service
from stream_app.settings import Settings
from tools.bench.child import tell

Result = TypeVar("Result")

ARGS = "--loss_function logistic --link logistic"
"""What the references are given: the default arguments of the service for a binary task."""


def settings(url: str, home: str, format_: str, **more: dict[str, Any]) -> Settings:
    """Defaults, with everything kept below `home` and any free port."""
    sections: dict[str, dict[str, Any]] = {
        "source": {"url": url},
        "checkpoints": {"url": f"{home}/checkpoints"},
        "state": {"dir": f"{home}/state"},
        "events": {"format": format_},
        "http": {"port": 0},
    }
    return config.of({name: {**section, **more.get(name, {})} for name, section in sections.items()})


def learn(log: str, home: str, format_: str) -> dict[str, float]:
    """Learn the backlog of an embedded log to its end."""
    return with_service(settings(f"log:{log}", home, format_), learnt)


def serve(log: str, home: str, is_caught_up: float) -> None:
    """Serve until terminated; tells the port, where asked for once everything is learnt."""

    async def serving(service: Service, port: int) -> None:
        if is_caught_up:
            await caught_up(service)
        tell({"port": port})
        await until(lambda: service.is_stopping, 0.1)

    with_service(settings(f"log:{log}", home, "json"), serving)


def with_service(
    settings: Settings,
    use: Callable[[Service, int], Awaitable[Result]],
    *,
    is_follower: bool = False,
    prepare: Callable[[Service], None] | None = None,
) -> Result:
    """What `use` returns, given a running service and its port; the service is closed afterwards.

    `prepare` may change the service before it runs.
    """

    async def used() -> Result:
        service = Service(settings, is_follower=is_follower)
        if prepare is not None:
            prepare(service)
        return await _used(service, use)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(used())


async def learnt(service: Service, port: int) -> dict[str, float]:
    """Learn to the end of what is there; the time is from when it is this service's turn to the last event learnt."""
    created = time.perf_counter()
    await until(lambda: service.is_learning, 0.001)
    before, began = service.trainer.parts.progressive.examples, time.perf_counter()
    await caught_up(service)
    seconds = time.perf_counter() - began
    return {
        "events": service.trainer.parts.progressive.examples - before,
        "seconds": seconds,
        "wait_s": began - created,
        "learnt": service.trainer.parts.progressive.examples,
        "checkpoints": len(service.store.list()),
    }


async def caught_up(service: Service) -> None:
    """Wait until everything is learnt."""
    await until(lambda: not service.lag, 0.002)


async def until(is_true: Callable[[], bool], step_s: float) -> None:
    """Wait for a condition. It is asked again and again, as the service announces nothing."""
    while not is_true():  # noqa: ASYNC110
        await asyncio.sleep(step_s)


async def _used(service: Service, use: Callable[[Service, int], Awaitable[Result]]) -> Result:
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
