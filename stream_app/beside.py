"""Work beside learning: one task of a service, from its start to its end. Knows not what it does."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)


class Beside:
    """A task that begins with `start`, once, within a running loop, and is ended by `close`.

    Where it ends by an error before, that is logged at once, with its traceback, and told by `problem` from then on.
    """

    def __init__(self, what: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
        """`what` it does, as people are told."""
        self._what = what
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

    @property
    def error(self) -> BaseException | None:
        """What has ended it; None while it runs, and where `close` did."""
        task = self._task
        return None if task is None or not task.done() or task.cancelled() else task.exception()

    @property
    def problem(self) -> str | None:
        """That it has ended by an error, and what to do."""
        return f"{self._what} has ended: {self.error!r}; restart the service" if self.error is not None else None

    def start(self) -> None:
        """Begin."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End it. Raises what has ended it before."""
        await self.end()
        if self.error is not None:
            raise self.error

    async def end(self) -> None:
        """The same, and raises nothing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.error is not None:
            log.error("%s has ended, until the service is restarted", self._what, exc_info=self.error)
