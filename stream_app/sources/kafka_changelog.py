"""Writes the state of a partition to its changelog topic, in order, by a producer that somebody else runs."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.lease import MayWrite
from stream_app.sources.kafka_fence import NotOursError, acknowledged
from stream_app.sources.kafka_topic import KafkaTopic


async def log_changes(
    producer: AIOKafkaProducer,
    topic: KafkaTopic,
    partition: int,
    changes: Sequence[tuple[bytes, bytes | None]],
    may_write: MayWrite,
) -> int:
    """Append keys and values, None deletes; returns the offset of the last one once all are acknowledged.

    What is appended is all of the changes, or, where SourceError is raised, a beginning of them: then do it again.
    `may_write` is asked before each part, and after the last one, as what others wrote may lie before that.
    """
    first, offset = 0, -1
    try:
        while first < len(changes):
            batch, end = producer.create_batch(), first
            while end < len(changes) and batch.append(key=changes[end][0], value=changes[end][1], timestamp=None):
                end += 1
            _check(may_write)
            async with asyncio.timeout(topic.timeout_s):
                sent = await acknowledged(producer, batch, topic.name, partition)
            first, offset = end, sent.offset + end - first - 1
        _check(may_write)
    except (KafkaError, OSError, TimeoutError) as error:
        raise topic.error("the state of the label join cannot be written", error) from error
    return offset


def _check(may_write: MayWrite) -> None:
    if not may_write():
        raise NotOursError("another worker may have the partition by now")
