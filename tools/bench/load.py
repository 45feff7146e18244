"""A load generator for HTTP/1.1 with keep-alive: raw sockets, so that it is faster than any server measured."""

import asyncio
import gc
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import orjson
import uvloop

from tools.bench.row import BenchError

BODIES = 1_000
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """One connection with at most one request under way; `answered` is told the seconds that each answer took.

    `ask` while an answer is awaited is kept, and its time counts from then: a slow server does not slow the asking.
    """

    def __init__(self, requests: Iterable[bytes], answered: Callable[["Connection", float], None]) -> None:
        self._requests = itertools.cycle(requests)
        self._answered = answered
        self._buffer = b""
        self._asked: list[float] = []
        self._transport: asyncio.WriteTransport | None = None
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def ask(self) -> None:
        """Send the next request, now or when the answers before it have come."""
        self._asked.append(time.perf_counter())
        if len(self._asked) == 1:
            self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(_END_OF_HEAD)
        if head < 0 or len(self._buffer) < head + 4 + _length(self._buffer[:head]):
            return
        self.errors += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        took = time.perf_counter() - self._asked.pop(0)
        if self._asked:
            self._send()
        self._answered(self, took)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _send(self) -> None:
        if self._transport is not None:
            self._transport.write(next(self._requests))


def flat_out(port: int, events: str, connections: int, seconds: float, ids: float = 0) -> dict[str, float]:
    """Requests per second with every connection asking again at once. A fifth of the time before is for warming up."""
    gc.disable()
    return uvloop.run(_flat_out(port, _requests(port, events, bool(ids)), connections, seconds))


def paced(
    port: int, events: str, connections: int, rate: float, seconds: float, path: str = "/predict"
) -> dict[str, list[float]]:
    """Milliseconds that each answer took, asked for at a fixed rate over all connections, whatever the server does."""
    gc.disable()
    return {"ms": uvloop.run(_paced(port, _requests(port, events, False, path), connections, rate, seconds))}


async def _flat_out(port: int, requests: list[bytes], connections: int, seconds: float) -> dict[str, float]:
    answers = 0

    def answered(connection: Connection, took: float) -> None:
        nonlocal answers
        answers += 1
        connection.ask()

    opened = await _opened(port, requests, connections, answered)
    for connection in opened:
        connection.ask()
    await asyncio.sleep(seconds / 5)
    before, began = answers, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (answers - before) / (time.perf_counter() - began)
    _closed(opened)
    return {"requests_per_s": rate}


async def _paced(port: int, requests: list[bytes], connections: int, rate: float, seconds: float) -> list[float]:
    took_ms: list[float] = []
    opened = await _opened(port, requests, connections, lambda _, took: took_ms.append(took * 1000.0))
    began = time.perf_counter()
    for number, connection in enumerate(itertools.islice(itertools.cycle(opened), int(rate * seconds))):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        connection.ask()
    while len(took_ms) < int(rate * seconds):  # noqa: ASYNC110 the last answers
        await asyncio.sleep(0.01)
    _closed(opened)
    return took_ms


async def _opened(
    port: int, requests: list[bytes], connections: int, answered: Callable[[Connection, float], None]
) -> list[Connection]:
    async def open_one(share: list[bytes]) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(share, answered), "127.0.0.1", port)
        return connection

    return [await open_one(requests[number::connections]) for number in range(connections)]


def _closed(opened: list[Connection]) -> None:
    errors = sum(connection.errors for connection in opened)
    for connection in opened:
        connection.close()
    if errors:
        raise BenchError(f"{errors} requests were not answered by 200")


def _requests(port: int, events: str, is_with_id: bool, path: str = "/predict") -> list[bytes]:
    """Different events, as requests; without an id they are not remembered."""
    with Path(events).open("rb") as lines:
        found = [orjson.loads(line) for line in itertools.islice(lines, BODIES)]
    requests = []
    for number, event in enumerate(found):
        body = {"features": event["features"]} | ({"id": f"asked-{number}"} if is_with_id else {})
        requests.append(_request(port, path, orjson.dumps(body)))
    return requests


def _request(port: int, path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _length(head: bytes) -> int:
    lowered = head.lower()
    begin = lowered.find(_LENGTH)
    return int(lowered[begin + len(_LENGTH) :].split(b"\r", 1)[0]) if begin >= 0 else 0
