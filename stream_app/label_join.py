"""The label join: predictions and labels of one partition, matched by id. Knows no Kafka, no Faust, no clock."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Annotated

import msgspec

from formats.example import FormatError
from formats.format import Format

State = Callable[[bytes], bytes | None]
"""Reads the value of a key in the state of one partition; None where there is none."""

JsonLabel = int | float | str | bool | dict[str, int | float]

MOST_CHUNKS = 2
"""Chunks of old ids looked at per batch. One batch makes at most one, so the queue of ages never grows for good."""

COUNTED = (
    "joined", "duplicates", "repeated", "expired_predictions", "expired_labels", "late_labels", "impossible_labels",
)  # fmt: skip

_ENTRY, _CHUNK, _ENDS = b"i", b"q", b"m"


class LateLabel(msgspec.Struct, forbid_unknown_fields=True):
    """The id of a prediction, and what came true: the body of `/labels`, and a record of the topic of labels."""

    id: Annotated[str, msgspec.Meta(min_length=1)] | int
    label: JsonLabel


class Record(msgspec.Struct, frozen=True):
    """One prediction, as it was predicted, or one label, as `LateLabel`, in the partition of its id."""

    is_label: bool
    id: bytes
    content: bytes
    time_s: float
    offset: int


class DeadRecord(msgspec.Struct, frozen=True):
    """A record that became no event, and why."""

    is_label: bool
    id: bytes | None
    offset: int
    reason: str
    content: bytes


class Joined(msgspec.Struct):
    """What a batch gives: events to append first, dead letters, and then changes of the state, in this order."""

    events: list[tuple[bytes, bytes]] = []
    dead: list[DeadRecord] = []
    changes: dict[bytes, bytes | None] = {}
    counts: dict[str, int] = {}


class Kind(IntEnum):
    """What is known under an id."""

    PREDICTED = 0
    LABELLED = 1
    DONE = 2
    EXPIRED = 3


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """The state of one id, since when by the clock of its partition, and the chunk of ages that holds it."""

    kind: Kind
    since_s: float
    chunk: int
    offset: int = 0
    content: bytes = b""


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """Ids that came into a new state in one batch. One whose entry names another chunk has moved on."""

    since_s: float
    ids: list[bytes]


class Ends(msgspec.Struct, array_like=True):
    """Of one partition: its clock, where its queue of chunks begins and ends, and how much waits (about)."""

    clock_s: float = 0.0
    head: int = 0
    tail: int = 0
    predictions: int = 0
    labels: int = 0


def ends_of(state: State) -> Ends:
    """Clock, queue and what waits in the state of a partition."""
    value = state(_ENDS)
    return Ends() if value is None else msgspec.msgpack.decode(value, type=Ends)


class LabelJoin:
    """Completes predictions by their labels, whichever comes first, each id once.

    The state of a partition maps bytes to bytes; `join` only reads it. Time is that of the records: the latest seen
    in the partition. What comes out is a function of the sequence of records alone, however it is cut into batches,
    but for when old ids are noticed that no record asks for.

    A prediction waits `wait_s` for its label, a label as long for its prediction; what is done, or has expired, is
    known for as long again. A second prediction replaces the first one that still waits, as `RememberedEvents` does,
    and opens nothing again that is done. A label that cannot be (see `Format.labelled`) is dead, its prediction waits
    on. Events over `max_bytes` or that the format cannot decode are dead labels as well.
    """

    def __init__(self, format_: Format, wait_s: float, max_bytes: int) -> None:
        self._format = format_
        self._wait_s = wait_s
        self._max_bytes = max_bytes

    def join(self, state: State, records: Sequence[Record]) -> Joined:
        """Join the records, in order, with what is known; at most a few old ids per record are let go of."""
        batch = _Batch(state, self._wait_s)
        for record in records:
            batch.tick(record.time_s)
            if record.is_label:
                self._label(batch, record)
            else:
                self._predict(batch, record)
        batch.expire()
        return batch.end()

    def _predict(self, batch: "_Batch", record: Record) -> None:
        entry = batch.get(record.id)
        if entry is not None and entry.kind is Kind.DONE:
            batch.count("repeated")
            return
        if entry is not None and entry.kind is Kind.LABELLED:
            batch.ends.labels -= 1
            label = Record(True, record.id, entry.content, entry.since_s, entry.offset)
            if self._complete(batch, record.content, label):
                batch.move(record.id, entry, Kind.DONE)
                return
        if entry is None or entry.kind is not Kind.PREDICTED:
            batch.ends.predictions += 1
        batch.put(record, Kind.PREDICTED)

    def _label(self, batch: "_Batch", record: Record) -> None:
        entry = batch.get(record.id)
        if entry is None:
            batch.ends.labels += 1
            batch.put(record, Kind.LABELLED)
        elif entry.kind is Kind.EXPIRED:
            batch.bury("late_labels", record, "the prediction had expired before this label came (join.wait_s)")
        elif entry.kind is not Kind.PREDICTED:
            batch.count("duplicates")
        elif self._complete(batch, entry.content, record):
            batch.ends.predictions -= 1
            batch.move(record.id, entry, Kind.DONE)

    def _complete(self, batch: "_Batch", payload: bytes, label: Record) -> bool:
        try:
            wanted = msgspec.json.decode(label.content, type=LateLabel)
            event = self._format.labelled(payload, wanted.label)
            if len(event) > self._max_bytes:
                raise FormatError(
                    f"event of {len(event)} bytes; at most {self._max_bytes} (events.max_bytes) are taken"
                )
            if dead := self._format.decode([event]).dead:
                raise FormatError(dead[0].reason)
        except FormatError as error:
            batch.bury("impossible_labels", label, str(error))
            return False
        batch.count("joined")
        batch.joined.events.append((label.id, event))
        return True


class _Batch:
    """A batch under way over the state of a partition: what is read, what is to be changed."""

    def __init__(self, state: State, wait_s: float) -> None:
        self.joined = Joined()
        self.ends = ends_of(state)
        self._state = state
        self._wait_s = wait_s
        self._changed: dict[bytes, Entry | None] = {}
        self._gone: list[bytes] = []
        self._queued: dict[bytes, None] = {}
        while state(_chunk_key(self.ends.tail)) is not None:  # made by a batch that was not finished
            self.ends.tail += 1

    def tick(self, time_s: float) -> None:
        self.ends.clock_s = max(self.ends.clock_s, time_s)

    def count(self, name: str) -> None:
        self.joined.counts[name] = self.joined.counts.get(name, 0) + 1

    def bury(self, name: str, record: Record, reason: str) -> None:
        self.count(name)
        self.joined.dead.append(DeadRecord(record.is_label, record.id, record.offset, reason, record.content))

    def get(self, id_: bytes) -> Entry | None:
        """What holds now under an id; what is over by the clock is over, noticed before or not."""
        entry = self._read(id_)
        return entry if entry is None or not self._is_over(entry) else self._let_go(id_, entry)

    def put(self, record: Record, kind: Kind) -> None:
        """A new state under an id, of which the ages are kept."""
        self._queue(record.id, Entry(kind, self.ends.clock_s, self.ends.tail, record.offset, record.content))

    def move(self, id_: bytes, entry: Entry, kind: Kind) -> None:
        """A next state, in the same place of the queue: met there before its time, it is queued again."""
        self._changed[id_] = Entry(kind, self.ends.clock_s, entry.chunk)

    def expire(self) -> None:
        """Let go of the oldest ids whose time is over: of a few chunks, so that no batch takes long."""
        for number, chunk in self._oldest():
            if self.ends.clock_s - chunk.since_s <= self._wait_s:
                return
            for id_ in chunk.ids:
                entry = self._read(id_)
                if entry is None or entry.chunk != number:
                    continue
                if self._is_over(entry):
                    self._let_go(id_, entry)
                else:
                    self._queue(id_, msgspec.structs.replace(entry, chunk=self.ends.tail))
            self._gone.append(_chunk_key(number))
            self.ends.head = number + 1

    def end(self) -> Joined:
        """The changes, ordered so that a kill between any two of them loses no id: each is in a chunk before it is."""
        changes = self.joined.changes
        if self._queued:
            chunk = Chunk(self.ends.clock_s, list(self._queued))
            changes[_chunk_key(self.ends.tail)] = msgspec.msgpack.encode(chunk)
            self.ends.tail += 1
        for id_, entry in self._changed.items():
            changes[_ENTRY + id_] = None if entry is None else msgspec.msgpack.encode(entry)
        changes |= dict.fromkeys(self._gone)
        changes[_ENDS] = msgspec.msgpack.encode(self.ends)
        return self.joined

    def _oldest(self) -> Iterator[tuple[int, Chunk]]:
        left = MOST_CHUNKS
        while left and self.ends.head < self.ends.tail:
            value = self._state(_chunk_key(self.ends.head))
            if value is None:
                self.ends.head += 1
                continue
            left -= 1
            yield self.ends.head, msgspec.msgpack.decode(value, type=Chunk)

    def _read(self, id_: bytes) -> Entry | None:
        if id_ in self._changed:
            return self._changed[id_]
        value = self._state(_ENTRY + id_)
        return None if value is None else msgspec.msgpack.decode(value, type=Entry)

    def _is_over(self, entry: Entry) -> bool:
        return self.ends.clock_s - entry.since_s > self._wait_s

    def _queue(self, id_: bytes, entry: Entry) -> None:
        self._changed[id_] = entry
        self._queued[id_] = None

    def _let_go(self, id_: bytes, entry: Entry) -> Entry | None:
        """What follows on a state whose time is over: an expired prediction is known for as long again."""
        after: Entry | None = None
        record = Record(entry.kind is Kind.LABELLED, id_, entry.content, entry.since_s, entry.offset)
        if entry.kind is Kind.LABELLED:
            self.ends.labels -= 1
            self.bury("expired_labels", record, f"no prediction of this id within {self._wait_s:g} s (join.wait_s)")
        elif entry.kind is Kind.PREDICTED:
            self.ends.predictions -= 1
            self.bury("expired_predictions", record, f"no label within {self._wait_s:g} s (join.wait_s)")
            expired = Entry(Kind.EXPIRED, entry.since_s + self._wait_s, self.ends.tail)
            after = None if self._is_over(expired) else expired
        if after is None:
            self._changed[id_] = None
        else:
            self._queue(id_, after)
        return after


def _chunk_key(number: int) -> bytes:
    return _CHUNK + number.to_bytes(8, "big")
