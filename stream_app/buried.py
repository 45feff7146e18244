"""Dead letters of a bounded run: told one by one up to a number, and kept in a file where one is named."""

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from checkpoints.durable import sync_folder
from stream_app.dead_letters import printable
from stream_app.settings import ConfigError
from stream_app.sources.file import FileSource

TOLD = 10
"""Dead letters that are told one by one; of more, only the number."""

_LINE_BYTES = 64 << 20
"""Read of the first line of a file there, at most: far more than any letter has."""


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
    """JSON lines in `path`, made with the first letter. Each is written at once, and durable after `sync` or `close`.

    Where a run is gone on with from `position`, what the file holds of records from there on goes: they are met again.
    A new run, `position` None, finds no file or an empty one. Raises ConfigError, before it has touched anything, for a
    file that holds something else: what is no dead letter, letters of other files, or those of an earlier run.
    """

    def __init__(self, path: Path, source: FileSource, position: int | None) -> None:
        self.path = path
        self._source = source
        self._descriptor: int | None = None
        _check(path, {name.name for name in source.paths}, position)
        if position is not None and path.exists():
            os.truncate(path, _length_before(path, position))

    def add(self, offset: int, reason: str, payload: bytes) -> None:
        """Write one down. Raises OSError, naming the file, where it cannot be kept."""
        letter = self._letter(offset, reason, payload)
        with self._naming():
            self._write(msgspec.json.encode(letter) + b"\n")

    def sync(self) -> None:
        """Everything added so far is durable. Raises OSError, naming the file."""
        if self._descriptor is not None:
            with self._naming():
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Durable, and let go of. Raises OSError, naming the file."""
        self.sync()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            sync_folder(self.path.parent)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _letter(self, offset: int, reason: str, payload: bytes) -> Letter:
        source = self._source
        letter = Letter(
            offset, str(source.paths[source.current]), offset - source.current_offset + 1, printable(reason)
        )
        try:
            letter.payload = payload.decode()
        except UnicodeDecodeError:
            letter.payload_base64 = payload
        return letter

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, f"dead letters cannot be kept: {error.strerror}", str(self.path)) from error


def _check(path: Path, names: Set[str], position: int | None) -> None:
    """Raises ConfigError where the file must stay as it is."""
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise ConfigError(f"dead letters: {path} is not a regular file; name another one")
    with path.open("rb") as file:
        first = file.readline(_LINE_BYTES)
    if not first:
        return
    try:
        letter = msgspec.json.decode(first, type=Letter)
    except msgspec.DecodeError as error:
        raise ConfigError(f"dead letters: {path} holds something else ({first[:40]!r}…); name another file") from error
    if position is None:
        raise ConfigError(f"dead letters: {path} holds those of an earlier run; name another file, or remove it")
    if Path(letter.file).name not in names:
        raise ConfigError(f"dead letters: {path} holds those of {letter.file}, not of this run; name another file")


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
