"""The label join within Faust: what is read is taken in order, joined, and only then committed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, cast

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.stores.rocksdb import Store
from faust.streams import Stream
from faust.tables import Table
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer
from faust.types import TP, ConsumerT, EventT, Message, StreamT, TableT
from rocksdict import WriteBatch

from stream_app.faust_recovery import PatientTables
from stream_app.faust_settings import LEASE_S
from stream_app.in_order import InOrder
from stream_app.join_records import Incoming
from stream_app.join_topics import MOST_RECORDS
from stream_app.joining import Joining
from stream_app.label_join import State
from stream_app.lease import Lease, MayWrite
from stream_app.sources.kafka_changelog import log_changes
from stream_app.sources.kafka_fence import fence, renewing
from stream_app.sources.kafka_topic import KafkaTopic, calm

MOST_BYTES = 4 << 20
"""Of the records joined at once."""

LINGER_S = 0.02
"""More is waited for so long before a batch is joined: an append costs as much for one record as for a hundred."""

GOODBYE_S = 5.0

LOOK_S = 1.0
"""So often it is looked whether a partition has more, of which nothing comes."""

GONE = (KafkaError, ConsumerNotStarted, OSError, TimeoutError)
"""A partition has gone meanwhile, or its broker."""

Gathered = asyncio.Queue[EventT[bytes]]


log = logging.getLogger(__name__)

# What mode logs in this module's name is silenced by `weir worker`; a loss is not.
loud = logging.getLogger(Joining.__module__)


class JoinApp(faust.App):
    """An app that knows which records come next, and until when its partitions are certainly its own."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.order = InOrder[TP]()
        self.lease = Lease(LEASE_S)
        self.lost_records = 0

    def pass_over(self, starts: Mapping[TP, int]) -> None:
        """Go on without the records before these offsets, which retention has removed; those not joined are told."""
        for tp, offset in starts.items():
            if missing := self.order.pass_over(tp, offset):
                self.lost_records += missing
                loud.warning(
                    "%s:%d:%d: %d records before this were removed by the topic's retention, and are never joined",
                    tp.topic, tp.partition, offset, missing,
                )  # fmt: skip

    def _new_consumer(self) -> ConsumerT:
        return JoinConsumer(
            self.transport,
            callback=self.topics.on_message,
            on_partitions_revoked=self._on_partitions_revoked,
            on_partitions_assigned=self._on_partitions_assigned,
            beacon=self.beacon,
        )


class _Thread(AIOKafkaConsumerThread):
    """The thread of a consumer, which ends also where the broker is away: aiokafka's goodbye cancels itself then.

    What the group's coordinator answers renews the lease.
    """

    async def on_start(self) -> None:
        await super().on_start()
        consumer = self._ensure_consumer()
        calm(consumer._client)
        coordinator = consumer._coordinator
        coordinator._send_req = renewing(coordinator._send_req, cast(JoinApp, self.app).lease)

    async def on_thread_stop(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await super().on_thread_stop()
        except (asyncio.CancelledError, TimeoutError):
            log.info("the broker was away when the consumer left its group")


class JoinConsumer(Consumer):
    """A consumer that commits what is joined, and nothing else.

    Faust acknowledges what it throws away in a rebalance, takes what it did not deliver for a gap that is done, and
    where nothing is committed yet does not go back to what it has thrown away while a table recovered.
    """

    @property
    def _order(self) -> InOrder[TP]:
        return cast(JoinApp, self.app).order

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Where each partition goes on; also where that is the beginning.

        Raises IllegalStateError where they were shared out anew meanwhile: the answers are about what was ours before.
        """
        generation = self.app.consumer_generation_id
        committed = await super().seek_to_committed()
        streams = {tp: offset for tp, offset in committed.items() if not self._is_changelog_tp(tp)}
        earliest = {ensure_TP(tp): offset for tp, offset in (await self.earliest_offsets(*streams)).items()}
        if generation != self.app.consumer_generation_id:
            raise IllegalStateError("the partitions were shared out anew")
        starts = {tp: streams[tp] or first for tp, first in earliest.items()}
        for tp, offset in starts.items():
            self._order.begin(tp, offset)
        cast(JoinApp, self.app).pass_over(earliest)
        # Within the consumer's own thread, as `seek` is not.
        await self.seek_wait({tp: max(offset, earliest[tp]) for tp, offset in starts.items()})
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._order.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Faust's fetcher and recovery go back to what is committed also between the two, when all of it is still ours.
        self._order.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def ack(self, message: Message) -> bool:
        self._unacked_messages.discard(message)
        return True

    def _filter_tps_with_pending_acks(self, topics: object = None) -> Iterator[TP]:
        return iter(self._order.done)

    def _new_offset(self, tp: TP) -> int | None:
        return self._order.done.get(tp)


class JoinTables:
    """The states of the join: a table of Faust's in RocksDB, which Faust recovers from its changelog topic.

    Faust's own way of writing puts a value into RocksDB first, sends it to the changelog when it gets to it, and never
    learns of a failure: after a kill in between, the value would be missing wherever the partition goes next. Here the
    changelog acknowledges first; then RocksDB takes all of a batch at once, with the changelog's offset.
    """

    def __init__(self, app: JoinApp, table: TableT[bytes, bytes], changelog: KafkaTopic) -> None:
        self._app = app
        self._table = table
        self._changelog = changelog
        self._producer: object = None

    def turn(self) -> MayWrite:
        """Says from now on whether all partitions have stayed ours, and are certainly nobody else's.

        The consumer's thread may not have heard yet that they have gone: then the lease, which it renews, has lapsed.
        """
        generation = self._app.consumer_generation_id
        return lambda: generation == self._app.consumer_generation_id and self.may_write()

    def may_write(self) -> bool:
        """Whether the partitions that are ours at present are certainly nobody else's."""
        return self._app.flow_control.is_active() and self._app.lease.is_held

    @property
    def lost_records(self) -> int:
        """See Tables."""
        return self._app.lost_records

    @property
    def problem(self) -> str | None:
        """See Tables."""
        if self._app.lease.is_held or not self._app.flow_control.is_active():
            return cast(PatientTables, self._app.tables).recovery.problem
        return f"the label join waits: no broker has confirmed its partitions for {LEASE_S:.1f} s"

    def begin(self, events: Sequence[EventT[bytes]], is_ours: MayWrite) -> list[EventT[bytes]]:
        """Those of the events that are ours to join now, and come next; all others are delivered again.

        What was begun before and is not done is begun anew.
        """
        order = self._app.order
        order.give_back()
        if not is_ours():
            return []
        return [event for event in events if order.is_next(event.message.tp, event.message.offset)]

    def finish(self, events: Sequence[EventT[bytes]], is_ours: MayWrite) -> None:
        """These are joined: they may be committed."""
        if is_ours():
            for event in events:
                self._app.order.finish(event.message.tp, event.message.offset)

    async def ask_again(self) -> None:
        """Have delivered again what Faust has not delivered, where there is more and nothing comes."""
        consumer, order = self._app.consumer, self._app.order
        if self.may_write():
            again = order.stuck({tp: consumer.highwater(tp) or 0 for tp in order.done})
            if again:
                log.info("not delivered, asked for again: %s", again)
                try:
                    earliest = await consumer.earliest_offsets(*again)
                    starts = {tp: max(offset, earliest[tp]) for tp, offset in again.items()}
                    self._app.pass_over(starts)
                    await consumer.seek_wait(starts)
                except GONE as error:
                    log.info("not now: %s", error)
                except Exception:  # noqa: BLE001 told with its traceback
                    loud.exception("what was not delivered could not be asked for again; tried again")

    def state(self, partition: int) -> State:
        """See Tables."""
        read: State = self._store._db_for_partition(partition).get
        return read

    async def write(self, partition: int, changes: dict[bytes, bytes | None], may_write: MayWrite) -> None:
        """See Tables. Raises SourceError."""
        producer = cast(Producer, self._app.producer)._ensure_producer()
        if producer is not self._producer:
            calm(producer.client)
            fence(producer.client, self.may_write)
            self._producer = producer
        offset = await log_changes(producer, self._changelog, partition, list(changes.items()), may_write)
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            batch.delete(key) if value is None else batch.put(key, value)
        batch.put(self._store.offset_key, str(offset).encode())
        self._store._db_for_partition(partition).write(batch)

    def partitions(self) -> list[int]:
        """See Tables."""
        ours = self._app.assignor.assigned_actives()
        return [number for number in self._store._dbs if TP(self._changelog.name, number) in ours]

    @property
    def _store(self) -> Store:
        return cast(Store, cast(Table[bytes, bytes], self._table).data)


async def gather(stream: StreamT[bytes], taking: Callable[[Gathered], Coroutine[Any, Any, None]]) -> None:
    """Have `taking` take what the stream gives, in order, while more of it comes: Faust is slow to deliver events.

    Returns never; raises what `taking` raises. Nothing is acknowledged here.
    """
    gathered: Gathered = asyncio.Queue(2 * MOST_RECORDS)

    async def deliver() -> None:
        async for event in cast(Stream[bytes], stream).noack().events():
            await gathered.put(event)

    tasks = [asyncio.create_task(deliver()), asyncio.create_task(taking(gathered))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def join_gathered(gathered: Gathered, tables: JoinTables, joining: Joining, labels: str | None) -> None:
    """Join what is there, batch after batch."""
    looked_at = time.monotonic()
    while True:
        events, size_bytes = [], 0
        with contextlib.suppress(TimeoutError):
            events.append(await asyncio.wait_for(gathered.get(), LOOK_S))
            if gathered.qsize() < MOST_RECORDS:
                await asyncio.sleep(LINGER_S)
        while not gathered.empty() and len(events) < MOST_RECORDS and size_bytes < MOST_BYTES:
            events.append(gathered.get_nowait())
            size_bytes += len(events[-1].message.value or b"")
        is_ours = tables.turn()
        ours = tables.begin(events, is_ours)
        if await joining.take([_incoming(event, labels) for event in ours], is_ours):
            tables.finish(ours, is_ours)
        if time.monotonic() > looked_at + LOOK_S:
            looked_at = time.monotonic()
            await tables.ask_again()


def _incoming(event: EventT[bytes], labels: str | None) -> Incoming:
    message = event.message
    # A producer whose clock is ahead must not have everything else expire.
    time_s = min(message.timestamp, time.time())
    key, value = message.key or None, message.value or b""
    return Incoming(message.topic == labels, message.partition, message.offset, key, value, time_s)
