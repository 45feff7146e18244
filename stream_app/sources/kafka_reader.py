"""One read of a Kafka topic under way: from given offsets, cut at gaps, patient while the broker is away."""

import asyncio
import logging
import time
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError

from stream_app.sources.kafka_topic import KafkaTopic, know_all_topics, last_words
from stream_app.sources.merge import lost_before
from stream_app.sources.source import Order, Position, PositionLost, Records, SourceAway, SourceError
from stream_app.sources.waiting import IDLE_S

AWAY_S = 3.0
"""Without an answer for so long, and for as long as a fetch may wait, the broker counts as away."""

PAUSE_RECORDS = 1024

log = logging.getLogger(__name__)


class KafkaReader:
    """A consumer of its own, and per partition the offset that comes next. Written by the one coroutine that reads."""

    def __init__(self, topic: KafkaTopic, position: Position) -> None:
        self.start: Position = {}
        self.ends: Position = {}
        self._topic = topic
        self._next = dict(position)
        self._places: dict[int, TopicPartition] = {}
        self._consumer: AIOKafkaConsumer = None
        self._opened = AsyncExitStack()
        self._since_pause = 0
        self._opened_s = 0.0
        self.problem: str | None = None
        """Why nothing comes; None while the broker answers."""
        self._away_s = AWAY_S + topic.for_reading.get("fetch_max_wait_ms", 500) / 1000

    async def open(self, order: Order) -> None:
        """Stand at the position. Raises SourceError where it or the order do not fit the topic, or PositionLost."""
        last_words().said = ""
        try:
            async with asyncio.timeout(self._topic.timeout_s):
                enter = self._opened.enter_async_context
                self._consumer = await self._topic.connected(lambda: enter(self._topic.consumer()))
                self.start, self.ends = await self._topic.bounds(self._consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            raise SourceAway(str(self._topic.error("cannot be read", error))) from error
        self._check_position()
        self._next = {**self.start, **self._next}
        self._check_order(order)
        self._places = {partition: self._topic.partition(partition) for partition in self.start}
        self._consumer.assign(list(self._places.values()))
        # In the same step, so that nobody asks for the topic by name: a broker would create one that was deleted.
        know_all_topics(self._consumer._client)
        for partition, place in self._places.items():
            self._consumer.seek(place, self._next[partition])
        self._opened_s = time.time()

    async def next(self, size: int, partition: int | None = None) -> list[Records]:
        """At most `size` records, of one partition where it is given; after a second without any, none."""
        if self._since_pause >= PAUSE_RECORDS:
            self._since_pause = 0
            await asyncio.sleep(0)
        places = [] if partition is None else [self._places[partition]]
        try:
            fetched = await self._consumer.getmany(*places, timeout_ms=int(IDLE_S * 1000), max_records=size)
        except ConsumerStoppedError:
            return []
        except OffsetOutOfRangeError as error:
            raise await self._out_of_range(error) from error
        except KafkaError as error:
            raise self._topic.error("cannot be read on", error) from error
        self._look_around(fetched)
        found = [records for messages in fetched.values() for records in self._cut(messages)]
        self._since_pause += sum(len(records.payloads) for records in found)
        return found

    def idle(self) -> Records:
        """An empty batch: nothing new."""
        partition = min(self._next)
        return Records(partition, self._next[partition], [], time.time())

    async def tails(self) -> dict[int, tuple[int, int]]:
        """Partitions of which all is read: after the last record, and the end, where only markers lie in between."""
        reached = {partition: await self._consumer.position(place) for partition, place in self._places.items()}
        return {
            partition: (self._next[partition], self.ends[partition])
            for partition, offset in reached.items()
            if offset >= self.ends[partition]
        }

    async def check_more(self, partition: int, count: int) -> None:
        """Raises SourceError where a partition has ended that an order to follow wants `count` more records of."""
        if await self._consumer.position(self._places[partition]) >= self.ends[partition]:
            raise self._order_too_long(partition, count)

    async def close(self) -> None:
        """Bounded in time, also where the broker is gone."""
        await self._opened.aclose()

    def _cut(self, messages: list[ConsumerRecord]) -> Iterator[Records]:
        """The messages of one partition as runs of contiguous offsets."""
        first = 0
        if messages[-1].offset - messages[0].offset != len(messages) - 1:
            for place in range(1, len(messages)):
                if messages[place].offset != messages[place - 1].offset + 1:
                    yield self._records(messages[first:place])
                    first = place
        yield self._records(messages[first:])

    def _records(self, run: list[ConsumerRecord]) -> Records:
        head = run[0]
        self._next[head.partition] = run[-1].offset + 1
        time_s = head.timestamp / 1000 if head.timestamp > 0 else time.time()
        return Records(head.partition, head.offset, [message.value or b"" for message in run], time_s)

    def _look_around(self, fetched: Collection[TopicPartition]) -> None:
        """Where partitions end by the latest answers; and where nothing came, whether all of them still answer."""
        for place in fetched or self._places.values():
            end = self._consumer.last_stable_offset(place)
            if end is not None:
                self.ends[place.partition] = max(end, self.ends[place.partition])
        if fetched and self.problem is None:
            return  # a broker is not asked while there is something left to read, so its silence means nothing
        answers_ms = [self._consumer.last_poll_timestamp(place) for place in self._places.values()]
        heard_s = min(self._opened_s if answer_ms is None else answer_ms / 1000 for answer_ms in answers_ms)
        is_away = time.time() > heard_s + self._away_s
        if is_away != (self.problem is not None):
            said = last_words().said or "is the topic still there?"
            waiting = f"no answer, waiting ({said})"
            self.problem = f"{self._topic.said}: {waiting}" if is_away else None
            log.warning("%s: %s", self._topic.said, waiting if is_away else "back")

    def _check_position(self) -> None:
        for partition, offset in self._next.items():
            if partition not in self.ends:
                raise SourceError(
                    f"there is no partition {partition!r}: {self._topic.said} has {len(self.ends)}, numbered from 0"
                )
            if not 0 <= offset <= self.ends[partition]:
                raise SourceError(
                    f"{self._topic.said}: partition {partition} ends at {self.ends[partition]}, before the position"
                    f" {offset} to read from: the topic is shorter than what was learnt from it; was it deleted and"
                    " created again?"
                )
        # Whoever has a position has begun with every partition that there was: a further one was there from its 0 on.
        lost = lost_before(self.start, {**dict.fromkeys(self.start, 0), **self._next} if self._next else {})
        if lost:
            raise self._lost(lost)

    def _lost(self, lost: dict[int, range]) -> PositionLost:
        ranges = [f"{offsets[0]} to {offsets[-1]} of partition {partition}" for partition, offsets in lost.items()]
        return PositionLost(
            f"{self._topic.said}: the offsets {', '.join(ranges)} are no longer kept, so up to"
            f" {sum(map(len, lost.values()))} records would never be learnt: begin from a newer checkpoint, or go on"
            " without them by weir serve --accept-loss; and let the topic keep records for longer (retention.ms,"
            " retention.bytes)",
            lost,
        )

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> SourceError:
        try:
            async with asyncio.timeout(self._topic.timeout_s):
                self.start, self.ends = await self._topic.bounds(self._consumer)
            self._check_position()
        except (PositionLost, SourceError) as found:
            return found
        except (KafkaError, OSError, TimeoutError) as failure:
            return self._topic.error("cannot be read on", failure)
        return self._topic.error("cannot be read on", error)

    def _check_order(self, order: Order) -> None:
        left = {partition: end - self._next[partition] for partition, end in self.ends.items()}
        for partition, count in order:
            left[partition] = left.get(partition, 0) - count
            if left[partition] < 0:
                raise self._order_too_long(partition, -left[partition])

    def _order_too_long(self, partition: int, count: int) -> SourceError:
        return SourceError(
            f"{self._topic.said}: the order to follow asks for {count} more records of partition {partition}"
        )
