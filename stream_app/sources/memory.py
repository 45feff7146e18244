"""A log in memory, for tests: the twin of the embedded log, with crashes on demand. Keeps nothing after its end."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final

from stream_app.sources.appends import Router
from stream_app.sources.blocks import Block
from stream_app.sources.merge import Merge
from stream_app.sources.source import Order, Position, Records, SourceError
from stream_app.sources.waiting import News


class Crash(Exception):
    """What a CRASH among the records does to whoever reads it."""


class _CrashMark(bytes):
    """Told from a record by being this one object."""


CRASH: Final[bytes] = _CrashMark(b"CRASH")
"""Put it among the payloads: the first read to come to this place gets all records before it, then Crash. Only once.

It is no record, and has no offset.
"""


class MemorySource:
    """A Source that holds `payloads` (all in partition 0) and whatever is appended later, as the embedded log would.

    Bounded, reads end when everything was read; live, they wait for more, idle out loud, until `close`.
    `append` never fails. Nothing is ever forgotten. Offsets, partitions and order are those of the embedded log.
    """

    keeps_order = True
    problem: str | None = None

    def __init__(
        self,
        payloads: Sequence[bytes] = (),
        *,
        partitions: int = 1,
        is_bounded: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.is_bounded = is_bounded
        self._clock = clock
        self._router = Router(partitions)
        self._firsts: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
        self._blocks: dict[int, list[Block]] = {partition: [] for partition in range(partitions)}
        self._end: Position = dict.fromkeys(range(partitions), 0)
        self._crashes: set[tuple[int, int]] = set()
        self._seq = 0
        self._news = News()
        self._is_closed = False
        if payloads:
            self._add(0, payloads)

    async def read(
        self, position: Position, order: Order | None = None, size: int = 1024
    ) -> AsyncGenerator[Records, None]:
        """See Source.read. Raises Crash where a CRASH lies."""
        merge = Merge(self._find, position, dict.fromkeys(self._end, 0), self._end)
        for records in merge.follow(order or [], size):
            for part in self._until_crash(records):
                yield part
        while not self._is_closed:
            following = self._news.next()
            batch = merge.next(size)
            if batch is not None:
                for part in self._until_crash(batch):
                    yield part
                await asyncio.sleep(0)
                continue
            self._crash_at(merge.offsets())
            if self.is_bounded:
                return
            if not await following.is_soon() and not self._is_closed:
                yield Records(0, merge.offsets()[0], [], self._clock())

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """See Source.append."""
        if self._is_closed:
            raise SourceError("this memory source is closed")
        if not payloads:
            return {}
        parts = self._router.route(payloads, keys)
        given = {partition: self._add(partition, part.payloads) for partition, part in parts.items()}
        self._news.announce()
        return given

    def start(self) -> Position:
        """Per partition, the first offset that is kept: 0."""
        return dict.fromkeys(self._end, 0)

    def end(self) -> Position:
        return dict(self._end)

    def release(self, position: Position) -> None:
        """Nothing is forgotten."""

    async def close(self) -> None:
        """Reads end, appends raise SourceError."""
        self._is_closed = True
        self._news.announce()

    def _add(self, partition: int, payloads: Sequence[bytes]) -> range:
        first = self._end[partition]
        records: list[bytes] = []
        for payload in payloads:
            if payload is CRASH:
                self._crashes.add((partition, first + len(records)))
            else:
                records.append(payload)
        if records:
            self._seq += 1
            size_bytes = sum(map(len, records))
            self._firsts[partition].append(first)
            self._blocks[partition].append(Block(self._seq, self._clock(), 0, size_bytes, len(records), records))
            self._end[partition] += len(records)
        return range(first, self._end[partition])

    def _find(self, partition: int, offset: int) -> tuple[int, Block] | None:
        if offset >= self._end[partition]:
            return None
        index = bisect_right(self._firsts[partition], offset) - 1
        return self._firsts[partition][index], self._blocks[partition][index]

    def _until_crash(self, records: Records) -> Iterator[Records]:
        """These records, or those before the first crash among them, and then the crash."""
        inside = range(records.offset, records.offset + len(records.payloads))
        crashes = [offset for partition, offset in self._crashes if partition == records.partition and offset in inside]
        if not crashes:
            yield records
            return
        count = min(crashes) - records.offset
        if count:
            yield Records(records.partition, records.offset, records.payloads[:count], records.time_s)
        self._crash_at({records.partition: min(crashes)})

    def _crash_at(self, position: Position) -> None:
        for place in position.items():
            if place in self._crashes:
                self._crashes.remove(place)
                raise Crash(f"CRASH before partition:offset {place[0]}:{place[1]}")
