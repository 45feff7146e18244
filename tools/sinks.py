"""Where events are sent to, and sending them: in batches, at a rate, noted so that it can go on after a kill."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from stream_app.http.client import Client
from stream_app.sources.batches import batched
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import Source
from tools.sent import SentJournal, was_appended

BATCH = 500
BATCH_BYTES = 4 << 20
"""Sent at once, at most: half of what a service takes by default."""


class Sink(Protocol):
    """Where events go; `append` returns once they are durable."""

    async def append(self, payloads: list[bytes]) -> None:
        """Append all of them, or raise."""
        ...


class ServiceSink:
    """Posts events to a running service."""

    def __init__(self, client: Client, separator: bytes) -> None:
        self._client = client
        self._separator = separator

    async def append(self, payloads: list[bytes]) -> None:
        await self._client.post("/events", self._separator.join(payloads))


class LogSink:
    """Appends to a source of this process."""

    def __init__(self, log: Source) -> None:
        self._log = log

    async def append(self, payloads: list[bytes]) -> None:
        await self._log.append(payloads)


class CountedSink:
    """Counts what was acknowledged."""

    def __init__(self, sink: Sink) -> None:
        self.events = 0
        self._sink = sink

    async def append(self, payloads: list[bytes]) -> None:
        await self._sink.append(payloads)
        self.events += len(payloads)


class JournaledSink:
    """Notes each batch durably before it goes on. After a kill, an embedded log tells whether the last one arrived."""

    def __init__(self, sink: Sink, journal: SentJournal, log: EmbeddedLog | None) -> None:
        self._sink = sink
        self._journal = journal
        self._log = log

    async def append(self, payloads: list[bytes]) -> None:
        self._journal.intend(payloads, self._log.end() if self._log is not None else None)
        await self._sink.append(payloads)
        self._journal.done(payloads)

    async def pass_over_sent(self, payloads: Iterator[bytes]) -> int:
        """Pass over what was sent before, and settle the batch that was pending; returns how many are sent now."""
        end = self._journal.sent.end
        pending = self._journal.after_sent(payloads)
        if pending and self._log is not None and end is not None and await was_appended(self._log, end, pending):
            self._journal.done(pending)
        elif pending:
            await self.append(pending)
        return self._journal.sent.events


async def feed(sink: Sink, payloads: Iterable[bytes], rate: float | None, tell: "Tell") -> tuple[int, float]:
    """Send all payloads, at most `rate` a second; returns how many and in how many seconds."""
    started, sent = time.perf_counter(), 0
    size = BATCH if rate is None else max(1, min(BATCH, int(rate / 20)))
    for batch in batched(iter(payloads), size):
        for part in _parts(batch):
            await sink.append(part)
            sent += len(part)
            tell(sent)
        if rate is not None:
            await asyncio.sleep(max(0.0, started + sent / rate - time.perf_counter()))
    return sent, time.perf_counter() - started


def _parts(batch: list[bytes]) -> Iterator[list[bytes]]:
    """The batch in as many parts as keep within BATCH_BYTES; an event that is larger alone goes by itself."""
    part: list[bytes] = []
    size = 0
    for payload in batch:
        size += len(payload)
        if part and size > BATCH_BYTES:
            yield part
            part, size = [], len(payload)
        part.append(payload)
    if part:
        yield part


class Tell(Protocol):
    """Told how many events were sent so far."""

    def __call__(self, sent: int, /) -> None: ...
