"""Dead letters of a bounded run: told one by one up to a number, and kept in a file where one is named."""

import os
from pathlib import Path
from typing import TextIO

import msgspec

from checkpoints.durable import sync_folder
from stream_app.dead_letters import printable
from stream_app.sources.file import FileSource

TOLD = 10
"""Dead letters that are told one by one; of more, only the number."""


class BuriedLetters:
    """Counts and tells. `kept` takes each one whole."""

    def __init__(self, err: TextIO, kept: "LetterFile | None" = None) -> None:
        self._err = err
        self._told = 0
        self._kept = kept

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        if self._kept is not None:
            self._kept.add(offset, reason, payload)
        self._told += 1
        if self._told <= TOLD:
            self._err.write(f"dead letter {partition}:{offset}: {printable(reason)}\n")


class Letter(msgspec.Struct, omit_defaults=True):
    """One line of the file: where the event stands, why it was not learnt, and its bytes."""

    offset: int
    """Number of records before it, over all files."""
    file: str
    record: int
    """Its number in that file, from 1."""
    reason: str
    payload: str | None = None
    """Its bytes where they are UTF-8."""
    payload_base64: bytes | None = None
    """Its bytes where they are not; in JSON as base64."""


class LetterFile:
    """JSON lines in `path`, made with the first letter. Each is written at once, and durable after `sync`.

    What a file there holds of records from `position` on belongs to a run that was killed: it goes, as those records
    are met again.
    """

    def __init__(self, path: Path, source: FileSource, position: int) -> None:
        self.path = path
        self._source = source
        self._descriptor: int | None = None
        if path.exists():
            os.truncate(path, _length_before(path, position))

    def add(self, offset: int, reason: str, payload: bytes) -> None:
        """Write one down. Raises OSError where it cannot be kept."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            sync_folder(self.path.parent)
        source = self._source
        letter = Letter(
            offset, str(source.paths[source.current]), offset - source.current_offset + 1, printable(reason)
        )
        try:
            letter.payload = payload.decode()
        except UnicodeDecodeError:
            letter.payload_base64 = payload
        rest = memoryview(msgspec.json.encode(letter) + b"\n")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """Everything added so far is durable."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Durable, and let go of."""
        self.sync()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _length_before(path: Path, position: int) -> int:
    """Bytes of the whole lines about records before `position`."""
    length = 0
    with path.open("rb") as file:
        for line in file:
            try:
                letter = msgspec.json.decode(line, type=Letter)
            except msgspec.DecodeError:
                return length
            if letter.offset >= position or not line.endswith(b"\n"):
                return length
            length += len(line)
    return length
