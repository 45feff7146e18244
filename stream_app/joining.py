"""Joins batches of records for good: what comes out is durable before the state says so. Knows no Faust."""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Protocol

import msgspec

from stream_app.dead_letters import printable
from stream_app.join_records import Incoming, JoinRecords, Stray
from stream_app.join_topics import JoinTopics
from stream_app.label_join import COUNTED, DeadRecord, Joined, LabelJoin, Record, State, ends_of
from stream_app.lease import MayWrite
from stream_app.sources.source import Source, SourceError

MOST_DEAD_BYTES = 512 << 10
"""Of a dead record, so many bytes are kept: more would not fit into a record itself."""

LONGEST_WAIT_S = 5.0

log = logging.getLogger(__name__)


class Tables(Protocol):
    """The states of the partitions that are ours. A write is durable once it returns, all of it or a beginning."""

    def state(self, partition: int) -> State:
        """Reads the state of a partition."""
        ...

    async def write(self, partition: int, changes: dict[bytes, bytes | None], may_write: MayWrite) -> None:
        """Make the changes, in order. Raises OSError or SourceError where that is not possible now, or not ours to."""
        ...

    def partitions(self) -> Sequence[int]:
        """Those that are ours at present."""
        ...

    @property
    def lost_records(self) -> int:
        """Records that were removed from the topics before they could be joined, since the start."""
        ...

    @property
    def problem(self) -> str | None:
        """Why nothing can be joined at present, though partitions are ours."""
        ...


class Joining:
    """Joins what is read of the topics `predictions` and `labels`. One coroutine calls `take`, batch after batch.

    Per batch: events, strays and dead letters are appended and acknowledged; then the state is written; then `take`
    returns, and the records may be acknowledged. Killed in between, the batch comes again: what was done is known or,
    between the first two steps, appended again, at most MOST_RECORDS events with ids that the trainer has just seen.
    While a topic cannot be written it waits, tries again, and `problem` says why; nothing is skipped.
    """

    def __init__(self, topics: JoinTopics, tables: Tables, join: LabelJoin, records: JoinRecords) -> None:
        self._topics = topics
        self._tables = tables
        self._join = join
        self._records = records
        self.counts = dict.fromkeys((*COUNTED, "undecodable", "forwarded"), 0)
        self._waiting: dict[object, str] = {}

    @property
    def problem(self) -> str | None:
        """Why the join waits at present; None while it does not."""
        return next(iter(self._waiting.values()), self._tables.problem)

    def figures(self) -> dict[str, int]:
        """Counts since the start, and about how many predictions and labels wait: a kill may leave it off by a few."""
        waiting = [ends_of(self._tables.state(partition)) for partition in self._tables.partitions()]
        return {
            **self.counts,
            "lost_records": self._tables.lost_records,
            "partitions": len(waiting),
            "waiting": sum(max(0, ends.predictions) for ends in waiting),
            "waiting_labels": sum(max(0, ends.labels) for ends in waiting),
        }

    async def take(self, batch: Sequence[Incoming], is_ours: MayWrite) -> bool:
        """Join a batch, for good; False, and nothing is marked, where by `is_ours` it is not ours any more."""
        records: dict[int, list[Record]] = {}
        out = _Out()
        for incoming in batch:
            match self._records.apart(incoming):
                case Record() as record:
                    records.setdefault(incoming.partition, []).append(record)
                case DeadRecord() as letter:
                    out.dead.append((incoming.partition, letter))
                case list() as parts:
                    out.strays += parts
        undecodable = len(out.dead)
        for partition, theirs in records.items():
            out.add(partition, self._join.join(self._tables.state(partition), theirs))
        try:
            await self._append(out, is_ours)
            async with asyncio.TaskGroup() as writes:
                for partition, step in out.joined.items():
                    write = partial(self._tables.write, partition, step.changes, is_ours)
                    writes.create_task(self._patiently(write, is_ours))
        except* _NotOurs:
            is_joined = False
        else:
            is_joined = True
            self._count(out, undecodable)
        return is_joined

    async def _append(self, out: "_Out", is_ours: MayWrite) -> None:
        for topic, records in out.appends(self._topics):
            if records:
                keys, payloads = [key for key, _ in records], [payload for _, payload in records]
                await self._patiently(partial(topic.append, payloads, keys), is_ours)

    async def _patiently(self, attempt: Callable[[], Awaitable[object]], is_ours: MayWrite) -> None:
        """Until it succeeds. Raises _NotOurs where it is somebody else's turn, who reads the batch again."""
        waiting = object()
        try:
            for number in count():
                if not is_ours():
                    raise _NotOurs
                try:
                    await attempt()
                except (SourceError, OSError) as error:
                    if not is_ours():
                        raise _NotOurs from error
                    if not self._waiting:
                        log.warning("the label join waits: %s", error)
                    self._waiting[waiting] = f"the label join waits: {error}"
                    await asyncio.sleep(min(0.1 * 2**number, LONGEST_WAIT_S))
                else:
                    break
        finally:
            if self._waiting.pop(waiting, None) is not None and not self._waiting:
                log.warning("the label join goes on")
        if not is_ours():
            raise _NotOurs

    def _count(self, out: "_Out", undecodable: int) -> None:
        self.counts["undecodable"] += undecodable
        self.counts["forwarded"] += len(out.strays)
        for step in out.joined.values():
            for name, number in step.counts.items():
                self.counts[name] += number


class _NotOurs(Exception):
    """The partitions have gone to another worker."""


class _Out:
    """What a batch gives, over all its partitions."""

    def __init__(self) -> None:
        self.joined: dict[int, Joined] = {}
        self.strays: list[Stray] = []
        self.dead: list[tuple[int, DeadRecord]] = []

    def add(self, partition: int, step: Joined) -> None:
        self.joined[partition] = step
        self.dead += [(partition, letter) for letter in step.dead]

    def appends(self, topics: JoinTopics) -> Iterator[tuple[Source, list[tuple[bytes | None, bytes]]]]:
        """What goes to which topic; the events first."""
        yield topics.events, [event for step in self.joined.values() for event in step.events]
        yield topics.predictions, [(stray.id, stray.content) for stray in self.strays if not stray.is_label]
        yield topics.labels, [(stray.id, stray.content) for stray in self.strays if stray.is_label]
        yield topics.dead_letters, [(letter.id, _shown(partition, letter)) for partition, letter in self.dead]


def _shown(partition: int, letter: DeadRecord) -> bytes:
    """A dead letter as JSON, the record's bytes in it as base64."""
    return msgspec.json.encode(
        {
            "topic": "labels" if letter.is_label else "predictions",
            "partition": partition,
            "offset": letter.offset,
            "reason": printable(letter.reason),
            "seen_at": time.time(),
            "size_bytes": len(letter.content),
            "payload_base64": base64.b64encode(letter.content[:MOST_DEAD_BYTES]).decode(),
        }
    )
