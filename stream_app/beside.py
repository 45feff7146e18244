"""Work beside learning: one task of a service, from its start to its end. Knows not what it does."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress

log = logging.getLogger(__name__)


class Beside:
    """A task that begins with `start`, once, within a running loop, and is ended by `close`.

    Where it ends by an error before, that is logged at once.
    """

    def __init__(self, run: Callable[[], Coroutine[None, None, None]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether it was started."""
        return self._task is not None

    @property
    def has_ended(self) -> bool:
        """Whether it was started, and nothing of it is left."""
        return self._task is not None and self._task.done()

    def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End it. Raises what has ended it before."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s has ended, until the service is restarted: %r", self._run.__qualname__, error)
