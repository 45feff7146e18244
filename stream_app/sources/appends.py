"""Appends on their way into a log: which partition each record goes to, and what waits for the next write."""

import asyncio
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from stream_app.sources.blocks import Block, cuts
from stream_app.sources.source import Position, SourceError, SourceFull

RECORD_OVERHEAD_BYTES = 64


class Part(msgspec.Struct):
    """What one call appends to one partition."""

    payloads: Sequence[bytes]
    keys: list[bytes | None] | None = None


class Router:
    """Records without a key go to one partition per call, round robin; those with one to crc32(key) % partitions.

    >>> router = Router(2)
    >>> list(router.route([b"a", b"b"])), list(router.route([b"c"]))
    ([0], [1])
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._calls = 0

    def route(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, Part]:
        """Raises SourceError when there are keys and not as many as payloads."""
        if keys is not None and len(keys) != len(payloads):
            raise SourceError(f"{len(payloads)} records cannot have {len(keys)} keys: give one for each, or None")
        turn = self._calls % self._partitions
        self._calls += 1
        if keys is None:
            return {turn: Part(payloads)}
        parts: dict[int, tuple[list[bytes], list[bytes | None]]] = {}
        for payload, key in zip(payloads, keys, strict=True):
            partition = turn if key is None else zlib.crc32(key) % self._partitions
            records, their_keys = parts.setdefault(partition, ([], []))
            records.append(payload)
            their_keys.append(key)
        return {partition: Part(*part) for partition, part in parts.items()}


class Append(msgspec.Struct, eq=False):
    """One call of append, waiting to be written."""

    parts: dict[int, Part]
    size_bytes: int
    given: asyncio.Future[dict[int, range]]

    def accept(self, offsets: dict[int, range]) -> None:
        if not self.given.done():
            self.given.set_result(offsets)

    def refuse(self, error: SourceError) -> None:
        if not self.given.done():
            self.given.set_exception(error)


class Queue:
    """What waits to be written, bounded in bytes. An append that finds nothing waiting is taken whatever its size."""

    def __init__(self, name: str, partitions: int, max_record_bytes: int, max_waiting_bytes: int) -> None:
        self._name = name
        self._router = Router(partitions)
        self._max_record_bytes = max_record_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._appends: list[Append] = []
        self._size_bytes = 0

    def add(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None) -> asyncio.Future[dict[int, range]]:
        """Raises SourceFull when too much waits, SourceError when a record is too large."""
        if not set(map(type, payloads)) <= {bytes}:
            raise SourceError(f"{self._name}: records must be bytes")
        largest = max(map(len, payloads))
        if largest > self._max_record_bytes:
            raise SourceError(
                f"{self._name}: a record of {largest} bytes is over the limit of {self._max_record_bytes}"
            )
        size_bytes = sum(map(len, payloads)) + RECORD_OVERHEAD_BYTES * len(payloads)
        if self._size_bytes and self._size_bytes + size_bytes > self._max_waiting_bytes:
            raise SourceFull(f"{self._name}: {self._size_bytes} bytes wait to be written already; try again later")
        append = Append(self._router.route(payloads, keys), size_bytes, asyncio.get_running_loop().create_future())
        self._appends.append(append)
        self._size_bytes += size_bytes
        return append.given

    def take(self) -> list[Append]:
        """All that wait. They count as waiting until they are `finished`."""
        appends, self._appends = self._appends, []
        return appends

    def finished(self, appends: list[Append]) -> None:
        self._size_bytes -= sum(append.size_bytes for append in appends)


class Group:
    """Appends that are written at once: their offsets, and the records of each partition in order."""

    def __init__(self, appends: list[Append], end: Position) -> None:
        self.end = dict(end)
        self.given: list[dict[int, range]] = []
        self._first = end
        self._payloads: dict[int, list[bytes]] = {}
        self._keys: dict[int, list[bytes | None]] = {}
        for append in appends:
            self.given.append({partition: self._add(partition, part) for partition, part in append.parts.items()})

    def blocks(self, size_before: dict[int, int], seq: int, time_s: float) -> Iterator[tuple[int, int, Block]]:
        """Partition, first offset and block, numbered from `seq` on."""
        for partition, payloads in self._payloads.items():
            keys, size = self._keys[partition], size_before[partition]
            has_keys = any(key is not None for key in keys)
            for cut in cuts(payloads):
                records = payloads[cut]
                size_bytes = sum(map(len, records))
                block_keys = keys[cut] if has_keys else None
                block = Block(seq, time_s, size, size_bytes, len(records), records, block_keys)
                yield partition, self._first[partition] + cut.start, block
                seq, size = seq + 1, size + size_bytes

    def _add(self, partition: int, part: Part) -> range:
        first = self.end[partition]
        self.end[partition] += len(part.payloads)
        self._payloads.setdefault(partition, []).extend(part.payloads)
        self._keys.setdefault(partition, []).extend(part.keys or [None] * len(part.payloads))
        return range(first, self.end[partition])
