"""Messages to an address that somebody else answers at: one after the other, tried again, never waited for."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from stream_app.beside import Beside

log = logging.getLogger(__name__)

MOST_WAITING = 100
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before it is tried once more; after the last one the message is lost."""

GOODBYE_S = 2.0


class NotPosted(Exception):
    """The other side did not take a message. Says why, and nothing of the address, which is a secret."""


class Webhook:
    """Posts JSON in the order given. Beyond MOST_WAITING messages, and after the last try, they are lost, and counted.

    For one event loop; `send` returns at once.
    """

    def __init__(self, post: Callable[[bytes], Awaitable[None]], errors: Counter[str]) -> None:
        """`post` raises NotPosted. Lost messages are counted in `errors` under `webhook`."""
        self._post = post
        self._errors = errors
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._posting = Beside("posting to the webhook", self._post_on)

    @property
    def problem(self) -> str | None:
        """Why every message is lost from now on; None while it posts."""
        return self._posting.problem

    def send(self, body: bytes) -> None:
        """Have it posted, soon."""
        if self._posting.has_ended:
            self._lose("posting has ended")
            return
        try:
            self._waiting.put_nowait(body)
        except asyncio.QueueFull:
            self._lose("too many messages wait")

    def start(self) -> None:
        """Begin to post, within a running loop."""
        self._posting.start()

    async def close(self) -> None:
        """Post what waits, if that is done within GOODBYE_S."""
        if not self._posting.is_begun:
            return
        if not self._posting.has_ended:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), GOODBYE_S)
        await self._posting.close()

    async def _post_on(self) -> None:
        while True:
            body = await self._waiting.get()
            try:
                await self._post_one(body)
            finally:
                self._waiting.task_done()

    async def _post_one(self, body: bytes) -> None:
        for pause_s in (*PAUSES_S, None):
            try:
                await self._post(body)
                return
            except NotPosted as error:
                if pause_s is None:
                    self._lose(str(error))
                    return
            await asyncio.sleep(pause_s)

    def _lose(self, why: str) -> None:
        self._errors["webhook"] += 1
        log.warning("a message to the webhook is lost: %s", why)
