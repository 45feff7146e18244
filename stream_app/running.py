"""Runs a service until it is told to stop: HTTP, learning, signals, and an orderly end."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable

from stream_app.http.app import build_app, listen
from stream_app.service import Service
from stream_app.sources.source import SourceError


async def run(service: Service, started: Callable[[int], None]) -> None:
    """Serve and learn until SIGTERM, SIGINT or `service.stop`; then take a last checkpoint.

    `started` is told the port once requests are answered. Raises what ended learning before its time.
    """
    why = "stopped"
    runner = None
    learning: asyncio.Task[None] | None = None
    try:
        runner, port = await listen(build_app(service), service.settings.http)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        learning = asyncio.create_task(service.run())
        # What was made so far lives as long as the process: a collection need not walk it while requests wait.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        # The thread that writes checkpoints gives way to requests after this long.
        sys.setswitchinterval(0.0005)
        started(port)
        await asyncio.wait([learning])
        if (failure := failure_of(learning)) is not None:
            raise failure
        why = "SIGTERM"
    finally:
        if learning is not None and not learning.done():
            learning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await learning
        if runner is not None:
            await runner.cleanup()
        await service.close(why)


def failure_of(ended: asyncio.Task[None]) -> BaseException | None:
    """What ended a task of which nobody asked it. A cancellation counts: clients of brokers let their own ones out."""
    if ended.cancelled():
        return SourceError("the service was cancelled before it was told to stop; start it again")
    return ended.exception()
