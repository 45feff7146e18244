"""A small database for what belongs to this machine, which outlives a full disk. Knows keys and values only."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rocksdict import AccessType, Options, Rdict, WriteBatch

from stream_app.sources.source import SourceError

ROOM_BYTES = 1 << 20

log = logging.getLogger(__name__)


class LocalDb:
    """Keys and values on rocksdict, for one process; `what` names them in messages.

    A write survives kill -9 once it returns; it is not fsynced. After a write that failed, as on a full disk, nothing
    more is written until there is room; then it is opened anew, without a restart. Reading goes on all the while.
    Raises SourceError where it cannot be opened.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self.problem: str | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._db = self._opened()
        except Exception as error:
            raise SourceError(f"{what} at {path}: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None where there is none."""
        value: bytes | None = self._db.get(key)
        return value

    def keys(self, first: bytes | None = None) -> Iterator[bytes]:
        """Keys in order, from `first` on."""
        for key in self._db.keys(from_key=first):
            if isinstance(key, bytes):
                yield key

    def last_key(self) -> bytes | None:
        """The last key, None where there is none."""
        key = next(iter(self._db.keys(backwards=True)), None)
        return key if isinstance(key, bytes) else None

    def latest(self) -> Iterator[bytes]:
        """Values from the last key backwards."""
        yield from self._db.values(backwards=True)

    def write(self, changes: dict[bytes, bytes | None]) -> bool:
        """Make all changes at once, None deletes; False, and `problem` says why, where that is not possible now."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            batch.delete(key) if value is None else batch.put(key, value)
        try:
            if self.problem is not None:
                self._reopen()
            self._db.write(batch)
        except Exception as error:  # noqa: BLE001 rocksdict raises nothing more exact
            if self.problem is None:
                log.error("%s at %s cannot be written: %s", self._what, self._path, error)
            self.problem = f"{self._what} cannot be written: {error}"
            return False
        if self.problem is not None:
            log.warning("%s at %s can be written again", self._what, self._path)
            self.problem = None
        return True

    def close(self) -> None:
        """Close it. What was written is kept, also where closing says that something was not."""
        with suppress(Exception):
            self._db.close()

    def _opened(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_keep_log_file_num(2)
        return Rdict(str(self._path), options)

    def _reopen(self) -> None:
        """RocksDB writes nothing more after a failed write; opening needs room for a copy of its write-ahead log."""
        wal_bytes = sum(path.stat().st_size for path in self._path.glob("*.log"))
        system = os.statvfs(self._path)
        if system.f_bavail * system.f_frsize < 2 * wal_bytes + ROOM_BYTES:
            raise OSError("the disk is still full; make room, writing goes on by itself")
        self.close()
        try:
            self._db = self._opened()
        except Exception:
            self._db = Rdict(str(self._path), Options(raw_mode=True), access_type=AccessType.read_only(False))
            raise
