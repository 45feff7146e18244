"""Work beside learning: one task of a service, from its start to its end. Knows not what it does."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress


class Beside:
    """A task that begins with `start`, once, within a running loop, and is ended by `close`."""

    def __init__(self, run: Callable[[], Coroutine[None, None, None]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether it was started."""
        return self._task is not None

    def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End it. Raises what has ended it before."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
