"""A Kafka topic as a source: read from exactly the offsets asked for, appended to durably. Knows bytes, no meaning."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stream_app.lease import MayWrite
from stream_app.sources.kafka_group import KafkaGroup
from stream_app.sources.kafka_reader import KafkaReader
from stream_app.sources.kafka_topic import KafkaOptions, KafkaTopic
from stream_app.sources.kafka_writer import KafkaWriter
from stream_app.sources.source import Order, Position, Records, SourceError


class KafkaSource:
    """The topic of `kafka://HOST:PORT[,HOST:PORT...]/TOPIC`; opening it asks the broker, and creates it on request.

    **append** returns once all replicas in sync have acknowledged; see KafkaWriter. Without keys a call goes to one
    partition, round robin; with keys, crc32(key) decides per record. Raises SourceFull when the broker was away or full
    for `timeout_s`: nothing is claimed then, but records may still land, so that trying again is at least once.

    **read** never looks at committed offsets. Several partitions interleave as they come, so `keeps_order` is False. It
    sees records of committed transactions. Offsets that hold no record (transaction markers, what compaction removed)
    are passed over: no batch spans one. While the broker is away, batches are empty, and reading goes on by itself.
    Raises PositionLost where retention has overtaken the reader. A topic that is compacted cannot be replayed exactly.

    Opening raises SourceError when the broker does not answer within `timeout_s`, the topic is missing and `partitions`
    is not given, or it has another number of them. The number is looked up when opening, and taken to stay.
    """

    keeps_order = False

    def __init__(
        self,
        place: str,
        *,
        partitions: int | None = None,
        max_record_bytes: int = 1 << 20,
        options: KafkaOptions | None = None,
    ) -> None:
        self._topic = KafkaTopic(place, options or KafkaOptions())
        self._unseen: str | None = None
        with ThreadPoolExecutor(1) as thread:  # whoever opens a source may stand in a running loop, and need not wait
            self._start, self._end = thread.submit(asyncio.run, self._topic.look_up(partitions)).result()
        self._tails: dict[int, tuple[int, int]] = {}
        self._writer = KafkaWriter(self._topic, len(self._end), max_record_bytes)
        self._readers: set[KafkaReader] = set()
        self._is_closed = False

    @property
    def problem(self) -> str | None:
        """What the latest read under way meets; where nothing is read, what `look` met."""
        return next((reader.problem for reader in self._readers), self._unseen)

    def group(self, name: str | None, model: str, folder: Path) -> KafkaGroup:
        """The services that share the model of this name and learn it from this topic. See KafkaGroup."""
        return KafkaGroup(self._topic, name or f"weir.{model}.{self._topic.name}", folder, self.look)

    def fence(self, may_write: MayWrite) -> None:
        """From now on append only while this is so: it is asked right before anything is sent."""
        self._writer.may_write = may_write

    async def look(self) -> None:
        """Ask where partitions end, for whoever does not read. What fails is told by `problem`."""
        try:
            self._start, end = await self._topic.look_up(None)
        except SourceError as error:
            self._unseen = str(error)
        else:
            self._unseen = None
            self._note_ends(end)

    async def read(
        self, position: Position, order: Order | None = None, size: int = 1024
    ) -> AsyncGenerator[Records, None]:
        """See Source.read. Raises SourceError when the broker does not answer at the very beginning."""
        reader = KafkaReader(self._topic, position)
        self._readers.add(reader)
        try:
            await self._open(reader, order or [])
            self._start = dict(reader.start)
            for partition, count in order or []:
                while count and not self._is_closed:
                    for records in await self._next(reader, min(size, count), partition):
                        count -= len(records.payloads)
                        yield records
                    if count and not self._is_closed:
                        await reader.check_more(partition, count)
            while not self._is_closed:
                for records in await self._next(reader, size):
                    yield records
        finally:
            self._readers.discard(reader)
            await reader.close()

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """See Source.append. Raises SourceError, naming the size, for a record over `max_record_bytes`."""
        if self._is_closed:
            raise SourceError(f"{self._topic.said} is closed")
        if not payloads:
            return {}
        given = await self._writer.append(payloads, keys)
        self._note_ends({partition: offsets.stop for partition, offsets in given.items()})
        return given

    def start(self) -> Position:
        """Per partition, the first offset that was kept when last asked for: by opening, reading or `look`."""
        return dict(self._start)

    def end(self) -> Position:
        """As far as known from opening, appends and reads; where no record but only markers follow, before them."""
        return {
            partition: self._tails[partition][0] if end <= self._tails.get(partition, (0, -1))[1] else end
            for partition, end in self._end.items()
        }

    def release(self, position: Position) -> None:
        """Kafka's own retention decides what is forgotten."""

    async def close(self) -> None:
        """Waits for appends under way, which end in time. Reads end."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.gather(*[reader.close() for reader in self._readers], self._writer.close())

    async def _open(self, reader: KafkaReader, order: Order) -> None:
        try:
            await reader.open(order)
        except SourceError as error:
            self._unseen = str(error)
            raise
        self._unseen = None

    async def _next(self, reader: KafkaReader, size: int, partition: int | None = None) -> list[Records]:
        found = await reader.next(size, partition)
        self._note_ends(reader.ends)
        if self._is_closed:
            return []
        if not found:
            self._tails.update(await reader.tails())
        return found or [reader.idle()]

    def _note_ends(self, ends: Position) -> None:
        for partition, end in ends.items():
            self._end[partition] = max(end, self._end.get(partition, 0))
