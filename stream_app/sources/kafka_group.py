"""Membership by a Kafka consumer group: of all members one gets every partition, and keeps them while it lives."""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError

from checkpoints.durable import replace
from stream_app.membership import BEAT_S, Look, Lookout
from stream_app.sources.kafka_topic import CLOSE_S, KafkaTopic, bounded, calm, last_words
from stream_app.sources.source import Position

STRANGER = (False, "", 0)
"""Whether it is the owner, its name in the group, and how many partitions it has: before the group has said it."""

log = logging.getLogger(__name__)


class Member(msgspec.Struct, forbid_unknown_fields=True):
    """The content of `member.json`: who this service is to the group, over restarts."""

    instance: str
    claim: int = 0
    """Generation of the group in which it became the owner; 0: it is not."""


class OneOwner:
    """Assigns all partitions to one member: the one that claims them since the latest generation, or else the first.

    So members that come and go move nothing, and an owner that was taken over from does not get its turn back when it
    wakes up. aiokafka asks for an object with these four names.
    """

    name = "weir-one-owner"

    def __init__(self, member: Member) -> None:
        self._member = member

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member says when it joins."""
        return ConsumerProtocolMemberMetadata(0, sorted(topics), self._member.claim.to_bytes(8, "big"))

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Asked of the one member that Kafka lets decide."""
        owner = min(members, key=lambda member: (-int.from_bytes(members[member].user_data or b"", "big"), member))
        topics = members[owner].subscription
        everything = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics]
        return {
            member: ConsumerProtocolMemberAssignment(0, everything if member == owner else [], b"")
            for member in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Told by the listener as well."""


class KafkaGroup(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A Membership. Its consumer reads nothing; reading is KafkaSource's, at the positions of checkpoints.

    It is a static member, its name kept in `folder`: a service that is killed and comes back within the session timeout
    goes on at once. While the broker is away, an owner stays the owner. Positions noted are committed, for tools that
    show the lag of a group; nothing reads them. Joining raises SourceError where the group may not be joined.
    """

    is_shared = True

    def __init__(self, topic: KafkaTopic, name: str, folder: Path, look: Look) -> None:
        """`look` asks where the topic ends; while it stands by, now and then."""
        self.name = name
        self._look = look
        self._topic = topic
        self._path = folder / "member.json"
        self._member = self._kept() or Member(uuid.uuid4().hex)
        self._consumer: AIOKafkaConsumer = None
        self._state = STRANGER
        self._lookout = Lookout(look)
        self._changed = asyncio.Event()
        self._beaten_at = 0.0
        self._noted: Position = {}
        self._committing: asyncio.Task[None] | None = None

    @property
    def turn(self) -> int:
        return self._member.claim if self._state[0] else 0

    async def open(self) -> None:
        last_words().said = ""
        self._keep()
        consumer = AIOKafkaConsumer(
            **{**self._topic.for_reading, **self._topic.for_joining},
            group_id=self.name,
            group_instance_id=self._member.instance,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            partition_assignment_strategy=[OneOwner(self._member)],
        )
        calm(consumer._client)
        try:
            async with asyncio.timeout(self._topic.timeout_s):
                await self._topic.connected(consumer.start)
        except (KafkaError, OSError, TimeoutError) as error:
            await bounded(consumer.stop())
            raise self._topic.error(f"the consumer group {self.name!r} cannot be joined", error) from error
        self._consumer = consumer
        # By a pattern: brokers create topics that are asked for by name, also one that was just deleted.
        consumer.subscribe(pattern=f"^{re.escape(self._topic.name)}$", listener=self)

    async def beat(self) -> None:
        if time.monotonic() < self._beaten_at + BEAT_S:
            return
        self._beaten_at = time.monotonic()
        if not self.turn:
            self._lookout.beat()
        try:
            await self._consumer.getmany(timeout_ms=0)
        except KafkaError as error:
            raise self._topic.error(f"the consumer group {self.name!r} cannot be used", error) from error
        if self._noted and (self._committing is None or self._committing.done()):
            noted, self._noted = self._noted, {}
            self._committing = asyncio.create_task(self._commit(noted, self._consumer))

    async def wait(self) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._changed.wait()

    def doubt(self) -> None:
        self._state = STRANGER
        if self._consumer is not None:
            self._consumer._coordinator.request_rejoin()

    async def look(self) -> None:
        await self._look()

    def note(self, position: Position) -> None:
        self._noted = dict(position)

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=CLOSE_S)
        if self._noted:
            await self._commit(self._noted, consumer)
        consumer._coordinator._group_instance_id = None  # aiokafka lets no static member leave; the broker does
        await bounded(consumer.stop())
        await self._lookout.close()
        self._changed.set()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """The group is being rearranged, and whoever is the owner mostly stays it: nothing changes before that."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if self._consumer is None:
            return
        self._consumer.pause(*assigned)
        coordinator, is_owner = self._consumer._coordinator, bool(assigned)
        now = (is_owner, coordinator.member_id, len(assigned))
        if now != self._state or is_owner != bool(self._member.claim):
            self._member.claim = coordinator.generation if is_owner else 0
            self._keep()
            log.info("%s: %s in group %s", self._topic.said, "the owner" if is_owner else "standing by", self.name)
        self._state = now
        self._changed.set()

    async def _commit(self, position: Position, consumer: AIOKafkaConsumer) -> None:
        offsets = {self._topic.partition(number): offset for number, offset in position.items()}
        try:
            async with asyncio.timeout(CLOSE_S):
                await consumer.commit(offsets)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            log.info("%s: offsets not committed, which matters to tools only: %s", self._topic.said, error)

    def _kept(self) -> Member | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Member)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _keep(self) -> None:
        """Lost with the machine: then it comes back as somebody else, and waits for the session to end."""
        try:
            replace(self._path, msgspec.json.encode(self._member))
        except OSError as error:
            log.warning("%s: who this member is cannot be kept over a restart: %s", self._topic.said, error)
