"""Reading a source in tests: to its end, or to the first idle batch where it knows none."""

from collections.abc import Sequence
from contextlib import aclosing
from itertools import groupby

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import Order, Position, Records, Source


async def read_until_idle(
    source: Source, position: Position, order: Order | None = None, size: int = 1024
) -> list[Records]:
    """All batches until there is nothing more; where the source knows its end, idle ones before it end nothing."""
    knows_end = isinstance(source, EmbeddedLog | KafkaSource)
    knows_end |= isinstance(source, MemorySource) and not source.is_bounded
    read = {**source.start(), **position}
    left = sum(count for _, count in order or [])
    batches = []
    async with aclosing(source.read(position, order or [], size)) as reading:
        async for records in reading:
            if records.payloads:
                batches.append(records)
                read[records.partition] = records.offset + len(records.payloads)
                left -= len(records.payloads)
            if knows_end:
                if left <= 0 and all(read[partition] >= end for partition, end in source.end().items()):
                    break
            elif not records.payloads:
                break
    return batches


async def read_count(source: Source, position: Position, count: int, size: int = 1024) -> list[Records]:
    """The first batches that hold `count` records together; waits for them, cuts nothing."""
    batches: list[Records] = []
    reading = source.read(position, [], size)
    while sum(len(records.payloads) for records in batches) < count:
        batches.append(await anext(reading))
    return batches


def payloads_of(batches: Sequence[Records]) -> dict[int, list[bytes]]:
    """Per partition; fails where offsets are not contiguous."""
    found: dict[int, list[bytes]] = {}
    following: dict[int, int] = {}
    for records in batches:
        if not records.payloads:
            continue
        expected = following.get(records.partition, records.offset)
        assert records.offset == expected, f"a hole before {records.partition}:{records.offset}, expected {expected}"
        following[records.partition] = records.offset + len(records.payloads)
        found.setdefault(records.partition, []).extend(records.payloads)
    return found


def order_of(batches: Sequence[Records]) -> Order:
    """The runs in which partitions were read."""
    return [
        (partition, sum(len(records.payloads) for records in run))
        for partition, run in groupby(batches, key=lambda records: records.partition)
    ]
