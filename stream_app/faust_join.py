"""The label join within Faust: what is read is taken in order, joined, and only then committed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.stores.rocksdb import Store
from faust.streams import Stream
from faust.tables import Table
from faust.transport.drivers.aiokafka import Producer
from faust.types import TP, EventT, StreamT, TableT
from rocksdict import WriteBatch

from stream_app.faust_consumer import JoinApp
from stream_app.faust_recovery import PatientTables
from stream_app.faust_settings import LEASE_S
from stream_app.join_records import Incoming
from stream_app.join_topics import MOST_RECORDS
from stream_app.joining import Joining
from stream_app.label_join import State
from stream_app.lease import MayWrite
from stream_app.sources.kafka_changelog import log_changes
from stream_app.sources.kafka_fence import fence
from stream_app.sources.kafka_topic import KafkaTopic, calm

MOST_BYTES = 4 << 20
"""Of the records joined at once."""

LINGER_S = 0.02
"""More is waited for so long before a batch is joined: an append costs as much for one record as for a hundred."""

LOOK_S = 1.0
"""So often it is looked whether a partition has more, of which nothing comes."""

GONE = (KafkaError, ConsumerNotStarted, OSError, TimeoutError)
"""A partition has gone meanwhile, or its broker."""

Gathered = asyncio.Queue[EventT[bytes]]


log = logging.getLogger(__name__)

# What mode logs in this module's name is silenced by `weir worker`; a loss is not.
loud = logging.getLogger(Joining.__module__)


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
