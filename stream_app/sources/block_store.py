"""Blocks on disk: RocksDB, what makes it durable, and what tells that something of it was lost. Knows no readers."""

import errno
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rocksdict import AccessType, DBCompressionType, DBRecoveryMode, Options, Rdict, WriteBatch, WriteOptions

from stream_app.sources.blocks import (
    LAST_OFFSET,
    Block,
    BlockHead,
    Changes,
    block_key,
    decode,
    decode_head,
    offset_of,
    start_key,
)
from stream_app.sources.source import Position, SourceError, SourceFull
from stream_app.sources.wal import check_wals

_ACKED = struct.Struct(">QL")
_WRITE_BUFFER_BYTES = 8 << 20


class BlockStore:
    """The RocksDB in `directory`/db, and `directory`/ACKED: the highest sequence number ever acknowledged.

    A write is durable once `sync` has returned, and after `open` everything readable is durable.
    `open` raises SourceError, and leaves all files as they are, when less than what was acknowledged can be read back.
    ACKED is exact after kill -9. After a power loss it may be as old as the system's write-back (some 30 seconds), so
    damage to the WAL's tail of that last while looks like records never acknowledged. It never gives a false alarm.
    Errors of RocksDB become SourceFull where the disk is full, and SourceError otherwise.
    """

    def __init__(self, directory: Path, partitions: int) -> None:
        self._directory = directory
        self._path = directory / "db"
        self._partitions = partitions
        self._db: Rdict | None = None
        self._acked = -1
        self._wals: set[str] = set()
        self._syncing = threading.Lock()
        self._options = WriteOptions()
        self._options.no_slowdown = True

    def create(self) -> None:
        """Lay down ACKED for a log without records."""
        (self._directory / "ACKED").write_bytes(_acked_bytes(0))
        fsync(self._directory / "ACKED")

    def open(self) -> None:
        """Read back what is there, complete and durable; from here on it counts as acknowledged."""
        with self._translated():
            self._acked = os.open(self._directory / "ACKED", os.O_RDWR)
            self._open_db()
            self._set_acked(self._last_seq())

    def open_to_follow(self, own: Path) -> None:
        """Read along with the process that writes; `own` is a folder for what RocksDB itself notes of that."""
        with self._translated():
            self._acked = os.open(self._directory / "ACKED", os.O_RDONLY)
            check_wals(self._path)
            options = _rocksdb_options()
            options.create_if_missing(False)
            options.set_max_open_files(-1)  # what the writer removes stays readable for who has it open
            self._db = Rdict(str(self._path), options, access_type=AccessType.secondary(str(own)))

    def follow(self) -> Position:
        """See what was written since; per partition, the end of what has been acknowledged."""
        acked = self._read_acked()  # first: what is acknowledged by then is seen by what follows
        with self._translated():
            self._opened().try_catch_up_with_primary()
        return {partition: self._acked_end(partition, acked) for partition in range(self._partitions)}

    def reopen(self, end: Position) -> None:
        """Leave RocksDB's error state, and forget every block at or beyond `end`: nobody was told that it is there.

        Raises SourceFull while there is no space. Whatever happens, what could be read before stays readable.
        """
        needed_bytes = sum(size for _, size in self._wal_sizes()) + (1 << 20)
        system = os.statvfs(self._directory)
        free_bytes = system.f_bavail * system.f_frsize
        if free_bytes < needed_bytes:
            raise SourceFull(
                f"log {self._directory}: the disk is still full, {free_bytes} bytes are free; appending goes on by"
                f" itself once there are {needed_bytes}"
            )
        self._close_db()
        try:
            self._open_db()
        except SourceError:
            self._open_db_to_read()
            raise
        beyond = Changes()
        for partition, offset in end.items():
            beyond.gone.append((block_key(partition, offset), block_key(partition, LAST_OFFSET)))
        if not self.write(beyond):
            raise SourceFull(f"log {self._directory}: the disk does not keep up; try again later")

    def find(self, partition: int, offset: int) -> tuple[int, Block] | None:
        """The block that holds `offset`, with its first offset."""
        first, value = offset, self._get(block_key(partition, offset))
        if value is None:
            found = self._at_or_before(partition, offset)
            if found is None:
                return None
            first, value = found
        with self._translated():
            block = decode(value)
        return (first, block) if offset < first + block.count else None

    def head(self, partition: int, first: int) -> BlockHead | None:
        """The head of the block that begins at `first`."""
        value = self._get(block_key(partition, first))
        if value is None:
            return None
        with self._translated():
            return decode_head(value)

    def last(self, partition: int) -> tuple[int, BlockHead] | None:
        """The newest block of a partition: its first offset and its head."""
        found = self._at_or_before(partition, LAST_OFFSET)
        if found is None:
            return None
        with self._translated():
            return found[0], decode_head(found[1])

    def start(self, partition: int) -> int:
        """The first offset kept, as `Changes.forget` wrote it."""
        return int.from_bytes(self._get(start_key(partition)) or b"", "big")

    def write(self, changes: Changes) -> bool:
        """Into the WAL, not yet durable. False: not now, because RocksDB is behind with flushing; try again."""
        try:
            with self._translated():
                self._opened().write(_batch_of(changes), self._options)
        except SourceError as error:
            if "Write stall" in str(error.__cause__):
                return False
            raise
        return True

    def sync(self, seq: int) -> None:
        """Make all that was written durable, then note that `seq` may be acknowledged. For a thread: it waits.

        Syncing each *.log by name is enough. A WAL that is gone was removed only after its records were in synced SST
        files; an older one was synced after its last write, because writes wait for the sync before them; and a new one
        needs its directory entry as well.
        """
        with self._syncing, self._translated():
            wals = {name for name, _ in self._wal_sizes()}
            for name in wals:
                with suppress(FileNotFoundError):
                    fsync(self._path / name)
            if not wals <= self._wals:
                fsync(self._path)
            self._wals = wals
            self._set_acked(seq)

    def compact(self, start: Position) -> None:
        """Give the space of forgotten blocks, those before `start`, back. For a thread: it lasts."""
        for partition, offset in start.items():
            with self._translated():
                self._opened().compact_range(block_key(partition, 0), block_key(partition, offset))

    def close(self) -> None:
        with self._syncing:
            self._close_db()
            if self._acked >= 0:
                os.close(self._acked)
                self._acked = -1

    def _open_db(self) -> None:
        if (self._path / "CURRENT").exists() or self._read_acked():
            self._check_complete()
        with self._translated():
            self._db = Rdict(str(self._path), _rocksdb_options())
        self._wals = set()

    def _open_db_to_read(self) -> None:
        with self._translated():
            self._db = Rdict(str(self._path), _rocksdb_options(), access_type=AccessType.read_only(False))

    def _check_complete(self) -> None:
        """Read-only, so that a log that is refused is left as it was found."""
        acked = self._read_acked()
        check_wals(self._path)
        self._open_db_to_read()
        try:
            seq = self._last_seq()
        finally:
            self._close_db()
        if seq < acked:
            raise SourceError(
                f"log {self._directory} is damaged: it can be read up to write {seq}, but {acked} were acknowledged;"
                " its write-ahead log was cut or altered. Nothing was changed; restore it from a copy, or move it away"
            )

    def _set_acked(self, seq: int) -> None:
        os.pwrite(self._acked, _acked_bytes(seq), 0)

    def _read_acked(self) -> int:
        content = os.pread(self._acked, _ACKED.size + 1, 0)
        if len(content) != _ACKED.size or content != _acked_bytes(_ACKED.unpack(content)[0]):
            raise SourceError(f"log {self._directory} is damaged: ACKED holds {content!r}; restore it from a copy")
        seq: int = _ACKED.unpack(content)[0]
        return seq

    def _last_seq(self) -> int:
        newest = (self.last(partition) for partition in range(self._partitions))
        return max((found[1].seq for found in newest if found), default=0)

    def _acked_end(self, partition: int, acked: int) -> int:
        found = self.last(partition)
        while found is not None and found[1].seq > acked:
            before = self._at_or_before(partition, found[0] - 1) if found[0] else None
            if before is None:
                return found[0]
            with self._translated():
                found = before[0], decode_head(before[1])
        return found[0] + found[1].count if found is not None else self.start(partition)

    def _get(self, key: bytes) -> bytes | None:
        with self._translated():
            value: bytes | None = self._opened().get(key)
        return value

    def _at_or_before(self, partition: int, offset: int) -> tuple[int, bytes] | None:
        with self._translated():
            iterator = self._opened().iter()
            try:
                iterator.seek_for_prev(block_key(partition, offset))
                iterator.status()
                if not iterator.valid() or iterator.key() < block_key(partition, 0):
                    return None
                return offset_of(iterator.key()), iterator.value()
            finally:
                del iterator  # one that is alive, in a traceback say, keeps RocksDB's lock

    def _wal_sizes(self) -> Iterator[tuple[str, int]]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.endswith(".log"):
                    with suppress(FileNotFoundError):
                        yield entry.name, entry.stat().st_size

    def _opened(self) -> Rdict:
        if self._db is None:
            raise SourceError("it is not open")
        return self._db

    def _close_db(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(SourceError), self._translated():
                db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """rocksdict raises bare Exceptions; only their text tells what happened."""
        try:
            yield
        except Exception as error:
            text = str(error)
            if isinstance(error, SourceError) and text.startswith(f"log {self._directory}"):
                raise
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            if full or "No space left" in text or "quota exceeded" in text:
                raise SourceFull(f"log {self._directory}: the disk is full: {text}") from error
            if "Corruption" in text or "No such file" in text:
                hint = "restore it from a copy, or move it away"
                raise SourceError(f"log {self._directory} is damaged, RocksDB says {text!r}; {hint}") from error
            raise SourceError(f"log {self._directory}: {text}") from error


def _batch_of(changes: Changes) -> WriteBatch:
    """For one try: a batch is used up by it, also where RocksDB was behind."""
    batch = WriteBatch(raw_mode=True)
    for begin, end in changes.gone:
        batch.delete_range(begin, end)
    for key, value in changes.puts.items():
        batch.put(key, value)
    return batch


def _rocksdb_options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(4)
    return options


def _acked_bytes(seq: int) -> bytes:
    return _ACKED.pack(seq, zlib.crc32(seq.to_bytes(8, "big")))


def fsync(path: Path) -> None:
    """Make a file's content, or a directory's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
