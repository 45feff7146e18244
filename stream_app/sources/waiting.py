"""Readers that wait for something new, and are woken at least once a second all the same. Knows no records."""

import asyncio

IDLE_S = 1.0


class Following:
    """The next announcement as seen from one reader, taken before it looked whether there is something to read."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def is_soon(self) -> bool:
        """Wait for it, at most IDLE_S. False: nothing came."""
        try:
            async with asyncio.timeout(IDLE_S):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class News:
    """Tells any number of waiting readers that there is more to read."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> Following:
        return Following(self._event)

    def announce(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()
