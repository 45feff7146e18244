"""The order journal: in which order partitions were read since the last checkpoint. Knows no records, only offsets.

With several partitions the weights depend on how they interleave. Each checkpoint holds the order learnt up to it; this
file holds the tail after it, written before a micro-batch is learnt, so that a restart can follow it exactly.
"""

import errno
import logging
import os
import struct
from pathlib import Path

from checkpoints.durable import replace
from stream_app.sources.source import Order, Position

log = logging.getLogger(__name__)

_ENTRY = struct.Struct(">HQI")  # partition, first offset, number of records
_MARK = 0xFFFF  # in place of a partition: the journal begins at a rollback, and these are digits of its id
_GAP = 0x8000  # added to a partition: these offsets hold no record, as transaction markers in Kafka do
_MOST = 0xFFFFFFFF
_COMPACT_BYTES = 1 << 20


class Journal:
    """Append-only file of runs of offsets.

    Written without fsync: it survives the process, and where it is lost with the machine, every event is still learnt
    once, in an order of its own. An entry torn by a crash is ignored: its micro-batch was not learnt.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._known: Position = {}
        torn = os.fstat(self._file).st_size % _ENTRY.size
        if torn:
            os.ftruncate(self._file, os.fstat(self._file).st_size - torn)

    def order_after(self, position: Position) -> Order:
        """The runs recorded beyond `position`, in order. What they cover is known, and not written again."""
        order, self._known = _runs(self._entries(), position)
        return order

    def note(self, partition: int, first: int, count: int) -> None:
        """These records are learnt next, and nothing lies before them that is not. Raises OSError if it cannot be."""
        end, known = first + count, self._known.get(partition, 0)
        if end > known:
            for gap in range(known, first, _MOST):
                self._append(partition | _GAP, gap, min(_MOST, first - gap))
            self._append(partition, first, count)
            self._known[partition] = end

    def forget(self, position: Position) -> None:
        """A checkpoint at `position` is durable: what lies before it may go. Done when the file has grown."""
        if os.fstat(self._file).st_size < _COMPACT_BYTES:
            return
        kept = [entry for entry in self._entries() if entry[1] + entry[2] > position.get(entry[0] & ~_GAP, 0)]
        try:
            replace(self._path, b"".join(_ENTRY.pack(*entry) for entry in kept))
        except OSError as error:
            log.warning("%s stays as long as it is: %s", self._path, error)
            return
        os.close(self._file)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND)

    def rewind(self, position: Position, model_id: str) -> None:
        """Learning goes on at `position` by the rollback `model_id`: what is learnt from there on is recorded anew."""
        os.ftruncate(self._file, 0)
        self._append(_MARK, _digits(model_id), 0)
        self._known = dict(position)

    def begins_at(self, model_id: str) -> bool:
        """Whether nothing in it is from before the rollback `model_id`."""
        return self._entries()[:1] == [(_MARK, _digits(model_id), 0)]

    def close(self) -> None:
        """Close the file. Nothing else may be called afterwards."""
        os.close(self._file)

    def _entries(self) -> list[tuple[int, int, int]]:
        return _read(os.pread(self._file, os.fstat(self._file).st_size, 0))

    def _append(self, *entry: int) -> None:
        written = os.write(self._file, _ENTRY.pack(*entry))
        if written < _ENTRY.size:
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, "order of partitions not recorded: no space", str(self._path))


def order_in(path: Path, position: Position) -> Order:
    """The runs that the journal at `path` records beyond `position`; its owner may be writing to it meanwhile."""
    return _runs(_read(path.read_bytes()), position)[0] if path.exists() else []


def _read(data: bytes) -> list[tuple[int, int, int]]:
    """All entries; a torn one at the end is none."""
    return list(_ENTRY.iter_unpack(data[: len(data) - len(data) % _ENTRY.size]))


def _runs(entries: list[tuple[int, int, int]], position: Position) -> tuple[Order, Position]:
    """The runs beyond `position`, and how far they reach."""
    order: Order = []
    reached = dict(position)
    for partition, first, count in entries:
        if partition == _MARK:
            continue
        number = partition & ~_GAP
        expected = reached.get(number, 0)
        new = first + count - expected
        if first <= expected and new > 0:
            if number == partition:
                order.append((partition, new))
            reached[number] = expected + new
    return order, reached


def _digits(model_id: str) -> int:
    return int(model_id.removeprefix("sha256.")[:16], 16)
