"""The trainer and HTTP as a service of mode, the library of services that Faust stands on. Knows no Faust."""

import asyncio
from collections.abc import Callable

import mode

from stream_app import running
from stream_app.joining import Joining
from stream_app.service import Service
from stream_app.settings import Settings


class Learning(mode.Service):
    """The trainer and HTTP as a part of the worker: what `weir serve` runs, in the same event loop.

    `end` is called once it has ended, with what ended it before it was told to. `accepts_loss` is the service's.
    """

    def __init__(self, settings: Settings, joining: Joining, end: Callable[[BaseException | None], None]) -> None:
        super().__init__()
        self._joining = joining
        self._end = end
        self.accepts_loss = False
        self.say_started: Callable[[Service, int], None] = lambda service, port: None
        self._settings = settings
        self._service: Service | None = None
        self._running: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Returns once requests are answered."""
        self._service = service = Service(self._settings, accepts_loss=self.accepts_loss)
        service.elsewhere.tell(self._joining.figures, lambda: self._joining.problem)
        listening = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(running.run(service, listening.set_result))
        await asyncio.wait([self._running, listening], return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            self.say_started(service, listening.result())
            self._running.add_done_callback(self._ended)
        elif (failure := running.failure_of(self._running)) is not None:
            raise failure

    async def on_stop(self) -> None:
        """A last checkpoint is taken, if it was not yet."""
        if self._service is not None and self._running is not None:
            self._service.stop()
            await asyncio.wait([self._running])  # what it raises is told by _ended

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._end(running.failure_of(run))
