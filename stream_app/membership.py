"""Who learns a model: one of the services that share it. Knows no broker; see sources/kafka_group.py for that."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from stream_app.sources.source import Position

BEAT_S = 1.0
"""An owner that does not beat for long loses its turn; one that stands by looks around so often."""

LOOK_S = 5.0
"""Who does not read asks so often where the source ends."""

Look = Callable[[], Awaitable[None]]


class Membership(Protocol):
    """One service among those that could learn a model. At any time one is the owner; one that was paused or cut off
    may believe so as well, until it hears otherwise or finds that another one has saved (`doubt`).

    On failure: while nobody can be asked, an owner stays the owner. A service that dies loses its turn to another
    within the session timeout; one that comes back in time keeps it.
    """

    is_shared: bool
    """Whether another service may become the owner while this one runs."""

    @property
    def turn(self) -> int:
        """0 while it is another one's turn to learn; else a number of its own for every turn of this service."""
        ...

    async def open(self) -> None:
        """Join; returns at once, before it is known whose turn it is. Raises SourceError where that cannot be."""
        ...

    async def beat(self) -> None:
        """Tell that this service works: at least once in a while, cheap enough for every micro-batch."""
        ...

    async def wait(self) -> None:
        """Until the owner changes, at most BEAT_S."""
        ...

    def doubt(self) -> None:
        """Another service has saved, so this may not be our turn any more: it is none until the others confirm it."""
        ...

    async def look(self) -> None:
        """Ask where the source ends, for whoever has not read it yet."""
        ...

    def note(self, position: Position) -> None:
        """A checkpoint is durable at this position: told to whoever watches the group. Decides nothing."""
        ...

    async def close(self) -> None:
        """Leave, so that another one may learn at once. Idempotent."""
        ...


class Alone:
    """Nobody else learns: the source has one owner anyway, as an embedded log has, or is read by none but us."""

    is_shared = False
    turn = 1

    async def open(self) -> None:
        pass

    async def beat(self) -> None:
        pass

    async def wait(self) -> None:
        pass

    def doubt(self) -> None:
        pass

    async def look(self) -> None:
        pass

    def note(self, position: Position) -> None:
        pass

    async def close(self) -> None:
        pass


class Lookout:
    """Looks around every LOOK_S in the background, for whoever does not read and wants to know how far behind it is."""

    def __init__(self, look: Look | None) -> None:
        self._look = look
        self._looking: asyncio.Future[None] | None = None
        self._looked_at = -LOOK_S

    def beat(self) -> None:
        """Begin to look where it is time. `look` raises nothing."""
        is_idle = self._looking is None or self._looking.done()
        if self._look is not None and is_idle and time.monotonic() >= self._looked_at + LOOK_S:
            self._looked_at = time.monotonic()
            self._looking = asyncio.ensure_future(self._look())

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking


class Onlooker(Alone):
    """It is never the turn of this one: it follows what others learn."""

    is_shared = True
    turn = 0

    def __init__(self, look: Look | None) -> None:
        self._lookout = Lookout(look)
        self._closed = asyncio.Event()

    async def beat(self) -> None:
        self._lookout.beat()

    async def wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._closed.wait()

    async def close(self) -> None:
        self._closed.set()
        await self._lookout.close()
