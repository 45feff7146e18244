"""The app of the label join as a member of Kafka's group: what comes next, what may be committed, what is its own."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

import faust
from aiokafka.errors import IllegalStateError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP, ConsumerT, Message

from stream_app.faust_settings import LEASE_S
from stream_app.in_order import InOrder
from stream_app.joining import Joining
from stream_app.lease import Lease
from stream_app.sources.kafka_fence import renewing
from stream_app.sources.kafka_topic import calm

GOODBYE_S = 5.0

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
