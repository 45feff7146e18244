"""The directory of an embedded log: who owns it, which format it has, and the blocks in it."""

import os
import zlib
from pathlib import Path

import msgspec

from stream_app.sources.block_store import BlockStore, fsync
from stream_app.sources.blocks import MAX_PARTITIONS
from stream_app.sources.owner import hold
from stream_app.sources.source import SourceError

VERSION = 1


class LogFormat(msgspec.Struct, frozen=True):
    """The content of the FORMAT file, written once."""

    version: int
    partitions: int
    crc32: int
    """Of "version partitions"."""


class LogDirectory:
    """Opens, or creates, the log in `path`. Raises SourceHeld or SourceError."""

    def __init__(self, path: Path, partitions: int | None) -> None:
        if partitions is not None and not 1 <= partitions <= MAX_PARTITIONS:
            raise SourceError(f"log {path}: partitions must be 1 to {MAX_PARTITIONS}, not {partitions!r}")
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._owner = hold(path / "OWNER")
        except OSError as error:
            raise SourceError(f"log {path} cannot be opened: {error}") from error
        try:
            self.partitions = self._settle_format(partitions)
            self.store = BlockStore(path, self.partitions)
            self.store.open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Last of all, another process may have it."""
        if hasattr(self, "store"):
            self.store.close()
        os.close(self._owner)

    def _settle_format(self, partitions: int | None) -> int:
        if not (self.path / "FORMAT").exists():
            return self._create(partitions or 1)
        stored = partitions_of(self.path)
        if partitions is not None and partitions != stored:
            raise SourceError(f"log {self.path} has {stored} partitions, not {partitions}: they cannot change")
        return stored

    def _create(self, partitions: int) -> int:
        if (self.path / "db").exists():
            raise SourceError(f"log {self.path} is damaged: it has data, but its FORMAT file is gone; restore it")
        try:
            BlockStore(self.path, partitions).create()
            aside = self.path / "FORMAT.new"
            aside.write_bytes(msgspec.json.encode(_log_format(VERSION, partitions)) + b"\n")
            fsync(aside)
            aside.rename(self.path / "FORMAT")
            fsync(self.path)
            fsync(self.path.parent)
        except OSError as error:
            raise SourceError(f"log {self.path} cannot be created: {error}") from error
        return partitions


def partitions_of(path: Path) -> int:
    """How many partitions the log in `path` has, as its FORMAT file says. Raises SourceError, OSError."""
    content = (path / "FORMAT").read_bytes()
    try:
        stored = msgspec.json.decode(content, type=LogFormat)
    except msgspec.DecodeError as error:
        raise SourceError(f"log {path} is damaged: FORMAT holds {content!r}: {error}") from error
    if stored.version > VERSION:
        raise SourceError(f"log {path} has format {stored.version}, newer than {VERSION}: use a newer version")
    if stored != _log_format(stored.version, stored.partitions):
        raise SourceError(f"log {path} is damaged: FORMAT holds {content!r}, its crc32 does not match")
    return stored.partitions


def _log_format(version: int, partitions: int) -> LogFormat:
    return LogFormat(version, partitions, zlib.crc32(b"%d %d" % (version, partitions)))
