"""Appends to a Kafka topic: grouped, acknowledged by all replicas in sync, each record once. Knows no readers."""

import asyncio
import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from stream_app.lease import MayWrite
from stream_app.sources.appends import Append, Queue
from stream_app.sources.kafka_fence import acknowledged, fence
from stream_app.sources.kafka_topic import CLOSE_S, KafkaTopic, bounded, calm, know_all_topics, last_words
from stream_app.sources.source import SourceError, SourceFull

MAX_WAITING_BYTES = 64 << 20
BATCH_BYTES = 256 << 10
GOODBYES = 4

REFUSALS = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

log = logging.getLogger(__name__)


class KafkaWriter:
    """Appends in the order of the calls; those that wait at the same time travel together. One task sends, the sender.

    A call is answered once every record of it is acknowledged (`acks=all`). Retries within one call cannot double a
    record (idempotence). Raises SourceFull where nothing was acknowledged for `timeout_s`; what was on its way then may
    still land, so that a caller who tries again appends at least once, and ids tell repeats. With `may_write`, nothing
    is sent without asking it.
    """

    def __init__(self, topic: KafkaTopic, partitions: int, max_record_bytes: int) -> None:
        self.may_write: MayWrite | None = None
        self._topic = topic
        self._queue = Queue(topic.said, partitions, max_record_bytes, MAX_WAITING_BYTES)
        self._producer: AIOKafkaProducer | None = None
        self._sender: asyncio.Task[None] | None = None

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None) -> dict[int, range]:
        """From the first to after the last offset per partition; records that others append may lie in between."""
        given = self._queue.add(payloads, keys)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting())
        return await given

    async def close(self) -> None:
        """Waits for appends under way, which are answered or refused in time."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self._discard()

    async def _send_waiting(self) -> None:
        while appends := self._queue.take():
            group = _Group(appends)
            error = SourceError(f"{self._topic.said}: interrupted; it is not known whether this was appended")
            try:
                await self._send(group)
            except SourceError as failure:
                error = failure
            finally:
                self._queue.finished(appends)
                group.answer(error)

    async def _send(self, group: "_Group") -> None:
        """Raises SourceError for what was not acknowledged. A producer that failed once is not trusted again."""
        try:
            producer = self._producer or await self._started()
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            raise SourceFull(f"{self._topic.error('nothing was appended; try again later', error)}") from error
        self._producer = producer
        sending = [self._send_part(producer, part) for part in group.parts.values()]
        for failure in await asyncio.gather(*sending, return_exceptions=True):
            if failure is not None:
                await self._discard()
                raise self._refusal(failure) from failure

    async def _send_part(self, producer: AIOKafkaProducer, part: "_Part") -> None:
        while (first := len(part.offsets)) < len(part.payloads):
            batch, end = producer.create_batch(), first
            while end < len(part.payloads):
                if batch.append(key=part.keys[end], value=part.payloads[end], timestamp=None) is None:
                    break
                end += 1
            async with asyncio.timeout(self._topic.timeout_s):
                sent = await acknowledged(producer, batch, self._topic.name, part.partition)
            if sent.offset < 0:
                raise KafkaError("appended, but the broker no longer knows where")
            part.offsets += range(sent.offset, sent.offset + end - first)

    def _refusal(self, failure: BaseException) -> SourceError:
        if isinstance(failure, REFUSALS):
            return self._topic.error(
                "the broker refuses these records; see its max.message.bytes and its ACLs", failure
            )
        if isinstance(failure, KafkaError | OSError | TimeoutError):
            what = "not acknowledged, though it may still land; try again later, ids tell repeats"
            return SourceFull(str(self._topic.error(what, failure)))
        raise failure

    async def _started(self) -> AIOKafkaProducer:
        last_words().said = ""
        async with asyncio.timeout(self._topic.timeout_s):
            return await self._topic.connected(self._start)

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **{"max_batch_size": BATCH_BYTES, **self._topic.for_writing}, acks="all", enable_idempotence=True
        )
        calm(producer.client)
        try:
            await producer.start()
            if self.may_write is not None:
                fence(producer.client, self.may_write)
            await know_all_topics(producer.client)
            if producer.client.cluster.partitions_for_topic(self._topic.name):
                return producer
            raise InvalidTopicError("the topic is gone; create it again, or name another one")
        except BaseException:
            await _end(producer)
            raise

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _end(producer)


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop at once, and for good: what nobody waits for any more must not be sent later.

    `AIOKafkaProducer.stop` would first wait for everything to be acknowledged, without an end where the broker is gone.
    """
    producer._closed = True
    sender = producer._sender.sender_task
    for _ in range(GOODBYES):
        if sender is None or sender.done():
            break
        sender.cancel()
        await asyncio.wait([sender], timeout=CLOSE_S / GOODBYES)
    await bounded(producer.client.close())


class _Part:
    """What goes to one partition; `offsets` grows with what is acknowledged."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.payloads: list[bytes] = []
        self.keys: list[bytes | None] = []
        self.offsets: list[int] = []


class _Group:
    """Appends that are sent together, and which records of each partition are whose."""

    def __init__(self, appends: list[Append]) -> None:
        self.parts: dict[int, _Part] = {}
        self._spans = [(append, self._add(append)) for append in appends]

    def answer(self, error: SourceError) -> None:
        """Each append whose records are all acknowledged hears where they are, every other one the error."""
        for append, spans in self._spans:
            offsets = {number: self.parts[number].offsets[span.start : span.stop] for number, span in spans.items()}
            if all(len(offsets[number]) == len(span) for number, span in spans.items()):
                append.accept({number: range(found[0], found[-1] + 1) for number, found in offsets.items()})
            else:
                append.refuse(error)

    def _add(self, append: Append) -> dict[int, range]:
        spans = {}
        for number, records in append.parts.items():
            part = self.parts.setdefault(number, _Part(number))
            first = len(part.payloads)
            part.payloads += records.payloads
            part.keys += records.keys or [None] * len(records.payloads)
            spans[number] = range(first, len(part.payloads))
        return spans
