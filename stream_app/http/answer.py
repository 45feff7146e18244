"""An answer of `/predict`, written to its connection at once. Knows HTTP only."""

import functools
import time
from email.utils import formatdate

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


class Answer(web.StreamResponse):
    """JSON of status 200, where it `may_be_sent_at_once`. Nothing can be added to its headers.

    aiohttp's general response, which may have any headers, compression and chunks, took a fifth of a prediction.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._answered = body

    @property
    def keep_alive(self) -> bool:
        """The connection stays open."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send head and body; waits where the client is behind with reading."""
        body = self._answered
        await request.writer.write_eof(b"%b%d%b%b" % (_HEAD, len(body), _rest(int(time.time())), body))
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""


def may_be_sent_at_once(request: web.BaseRequest) -> bool:
    """Whether an Answer is what this client expects: it speaks HTTP/1.1 and keeps the connection."""
    return request.version == HttpVersion11 and request.keep_alive


@functools.lru_cache(maxsize=1)
def _rest(now_s: int) -> bytes:
    """What stands behind the length in the head; a new one each second."""
    return f"\r\nDate: {formatdate(now_s, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()
