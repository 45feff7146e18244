"""The embedded log: an append-only log in a directory, for one process. Knows bytes, never their meaning."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from stream_app.sources.appends import Group, Queue
from stream_app.sources.blocks import Block, Changes, block_key, encode
from stream_app.sources.log_directory import LogDirectory
from stream_app.sources.merge import Merge, check_position
from stream_app.sources.retention import Retention
from stream_app.sources.source import Order, Position, Records, SourceError, SourceFull
from stream_app.sources.waiting import News

STALLED_S = 30.0
STALL_STEP_S = 0.005
COMPACT_BYTES = 16 << 20


logger = logging.getLogger(__name__)


class EmbeddedLog:
    """A durable log in `directory`, for one process; opening it creates it.

    **append** returns once the records are on the disk: they survive kill -9 and power loss. A call is all or nothing,
    also in a crash. Calls that wait at the same time share one write and one fsync. Without keys a call goes to one
    partition, round robin; with keys, crc32(key) decides per record. Raises SourceFull, and nothing was accepted, when
    more than `max_waiting_bytes` wait already or the disk is full. Once there is room appending works again, without a
    restart; reading goes on all the while. A call that failed may show up after all only where the process dies
    between that failure and the next append that succeeds.

    **read** sees only durable records, in an order that the position and the log alone decide. Any number of readers
    may read. A batch may join several appends and then carries the time of the first. Reading ends with `close`.

    **Retention** forgets whole blocks (up to 1,024 records or 1 MiB) older than `retain_s` or in excess of
    `retain_bytes` of payload, oldest first, never at or after the position given to `release` since opening, never a
    partition's newest block. Offsets stay. By default everything is kept.

    Damage raises SourceError, when opening or when reading; what is read is right. State is written by one task, the
    committer, and by `release`, both on the event-loop thread.

    Raises SourceHeld when another process (or another EmbeddedLog) has the directory, SourceError when it cannot be
    opened or when `partitions` is given and the log was created with another number (default at creation: 1).
    """

    keeps_order = True
    problem: str | None = None

    def __init__(
        self,
        directory: str | Path,
        *,
        partitions: int | None = None,
        retain_s: float | None = None,
        retain_bytes: int | None = None,
        max_record_bytes: int = 8 << 20,
        max_waiting_bytes: int = 64 << 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._directory = LogDirectory(Path(directory), partitions)
        self._store = self._directory.store
        numbers = self._directory.partitions
        self._queue = Queue(f"log {directory}", numbers, max_record_bytes, max_waiting_bytes)
        self._committer: asyncio.Task[None] | None = None
        self._compaction: asyncio.Task[None] | None = None
        self._news = News()
        self._is_doubtful = False
        self._is_closed = False
        self._forgotten_bytes = 0
        self._end: Position = dict.fromkeys(range(numbers), 0)
        self._size = dict.fromkeys(range(numbers), 0)
        self._seq = 1
        try:
            self._retention = Retention(self._store, numbers, retain_s, retain_bytes)
            self._load()
        except BaseException:
            self._directory.close()
            raise

    async def read(
        self, position: Position, order: Order | None = None, size: int = 1024
    ) -> AsyncGenerator[Records, None]:
        """See Source.read. Gives way to other tasks at least once per 1,024 records."""
        merge = Merge(self._find, position, self._retention.start, self._end)
        since_pause = 0
        for records in merge.follow(order or [], size):
            yield records
            await asyncio.sleep(0)
            if self._is_closed:
                return
        while not self._is_closed:
            following = self._news.next()
            batch = merge.next(size)
            if batch is None:
                if not await following.is_soon() and not self._is_closed:
                    yield Records(0, merge.offsets()[0], [], self._clock())
                continue
            since_pause += len(batch.payloads)
            yield batch
            if since_pause >= 1024:
                since_pause = 0
                await asyncio.sleep(0)

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """See Source.append. Raises SourceError, naming the size, for a record over `max_record_bytes`."""
        self._check_open()
        if not payloads:
            return {}
        given = self._queue.add(payloads, keys)
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_waiting())
        return await given

    def start(self) -> Position:
        """Per partition, the first offset that is kept."""
        return dict(self._retention.start)

    def end(self) -> Position:
        return dict(self._end)

    def release(self, position: Position) -> None:
        """See Source.release. Forgets at most some blocks a call; their disk space is given back by later appends."""
        self._check_open()
        self._retention.release(position)
        self._forgotten_bytes += self._retention.enforce(self._clock(), self._end, self._size)

    async def close(self) -> None:
        """Waits for appends under way. Afterwards reads end and appends raise SourceError."""
        if self._is_closed:
            return
        self._is_closed = True
        self._news.announce()
        if self._committer is not None:
            await asyncio.wait([self._committer])
        await self._compacted()
        self._directory.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise SourceError(f"log {self._directory.path} is closed")

    def _load(self) -> None:
        for partition, first in self._retention.start.items():
            self._end[partition] = first
            last = self._store.last(partition)
            if last is not None:
                offset, head = last
                self._end[partition] = offset + head.count
                self._size[partition] = head.size_before + head.size_bytes
                self._seq = max(self._seq, head.seq + 1)

    def _find(self, partition: int, offset: int) -> tuple[int, Block] | None:
        if offset >= self._end[partition]:
            return None
        found = self._store.find(partition, offset)
        if found is None:
            check_position({partition: offset}, self._retention.start, self._end)
            raise SourceError(
                f"log {self._directory.path} is damaged: the block with offset {offset} of partition {partition} is"
                " gone; restore it from a copy"
            )
        return found

    async def _commit_waiting(self) -> None:
        """The committer: writes group after group until nothing waits."""
        while appends := self._queue.take():
            group = Group(appends, self._end)
            error = SourceError(f"log {self._directory.path}: interrupted; it is not known whether this was appended")
            try:
                await self._commit(group)
            except SourceError as failure:
                error = failure
            else:
                for append, given in zip(appends, group.given, strict=True):
                    append.accept(given)
            finally:
                self._queue.finished(appends)
                for append in appends:
                    append.refuse(error)
            self._retain_in_passing()

    async def _commit(self, group: Group) -> None:
        if self._is_doubtful:
            await self._compacted()
            self._store.reopen(self._end)
            logger.info("log %s: appending again from %s on", self._directory.path, self._end)
        changes, seq = Changes(), self._seq
        size = dict(self._size)
        for partition, first, block in group.blocks(self._size, self._seq, self._clock()):
            changes.puts[block_key(partition, first)] = encode(block)
            seq, size[partition] = block.seq + 1, block.size_before + block.size_bytes
        self._is_doubtful = True
        await self._write(changes)
        await asyncio.to_thread(self._store.sync, seq - 1)
        self._is_doubtful = False
        self._seq, self._size, self._end = seq, size, group.end
        self._news.announce()

    async def _write(self, changes: Changes) -> None:
        patience = STALLED_S / STALL_STEP_S
        while not self._store.write(changes):
            patience -= 1
            if patience < 0:
                raise SourceFull(
                    f"log {self._directory.path}: the disk has not kept up for {STALLED_S} s; try again later"
                )
            await asyncio.sleep(STALL_STEP_S)

    def _retain_in_passing(self) -> None:
        now_s = self._clock()
        if self._retention.is_due(now_s):
            try:
                self._forgotten_bytes += self._retention.enforce(now_s, self._end, self._size)
            except SourceError as error:  # the append that this rides on is durable, and must hear so
                logger.warning("nothing is forgotten: %s", error)
        if self._forgotten_bytes >= COMPACT_BYTES and (self._compaction is None or self._compaction.done()):
            self._forgotten_bytes = 0
            self._compaction = asyncio.create_task(self._compact(self.start()))

    async def _compact(self, start: Position) -> None:
        try:
            await asyncio.to_thread(self._store.compact, start)
        except SourceError as error:
            logger.warning("space of forgotten records is given back later: %s", error)

    async def _compacted(self) -> None:
        if self._compaction is not None:
            await asyncio.wait([self._compaction])
