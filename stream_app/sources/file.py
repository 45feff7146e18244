"""Files read once, record by record, for backfills and backtests. Knows where records end only by `split`."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from formats.example import FormatError
from stream_app.sources.batches import batched
from stream_app.sources.file_stream import FileStream, ending_of, naming
from stream_app.sources.parquet import ParquetRows
from stream_app.sources.source import Order, Position, Records, SourceError

Split = Callable[[BinaryIO], Iterator[bytes]]
"""Cuts an open file into records in constant memory: Format.split."""


class FilePlace(msgspec.Struct, frozen=True):
    """Where a read has come to: which file, the offset of that file's first record, and bytes read of all files."""

    current: int
    current_offset: int
    consumed_bytes: int


class FileSource:
    """The records of one or several files, in the order given, as partition 0; the offset counts over all of them.

    `.gz` and `.zst` files are unpacked, rows of `.parquet` files become JSON events. A read begins by skipping records,
    ends at the end of the last file, and holds one batch in memory; no batch spans two files, and its time is the
    file's modification time. Raises SourceError, naming the file, for one that is missing, damaged, or cannot be cut
    into records (then with the line), after every record before that place was given; and for a position after the end.
    """

    keeps_order = True
    problem: str | None = None

    def __init__(self, paths: str | Path | Sequence[str | Path], split: Split) -> None:
        names = [paths] if isinstance(paths, str | Path) else paths
        self.paths = [Path(name) for name in names]
        self.current = 0
        """Index of the file that the latest batch came from."""
        self.current_offset = 0
        """Offset of the first record of that file."""
        self._split = split
        self._end = 0
        self._is_closed = False
        self._reading: FileStream | ParquetRows | None = None
        self._told: FilePlace | None = None
        for path in self.paths:
            if not path.is_file():
                raise SourceError(f"file {path} is {'not a file' if path.exists() else 'missing'}; give a path to read")
        self.sizes = [path.stat().st_size for path in self.paths]
        """Bytes of each file, as it lay there when the source was made."""

    @property
    def size_bytes(self) -> int:
        """Of all files, as they lie there."""
        return sum(self.sizes)

    @property
    def consumed_bytes(self) -> int:
        """How much of `size_bytes` has been read so far."""
        return self.place.consumed_bytes

    @property
    def place(self) -> FilePlace:
        """Where the read is now. Setting it tells what another process has read of the same files."""
        if self._told is not None:
            return self._told
        here = self._reading.consumed_bytes if self._reading is not None else 0
        return FilePlace(self.current, self.current_offset, sum(self.sizes[: self.current]) + here)

    @place.setter
    def place(self, place: FilePlace) -> None:
        self._told = place
        self.current, self.current_offset = place.current, place.current_offset

    async def read(
        self, position: Position, order: Order | None = None, size: int = 1024
    ) -> AsyncGenerator[Records, None]:
        """See Source.read. One partition has one order only, so `order` changes nothing.

        Gives way to other tasks at least once per 1,024 records.
        """
        if any(partition != 0 for partition in [*position, *(run[0] for run in order or [])]):
            raise SourceError(f"a file has partition 0 only; the position is {position!r}")
        since_pause = 0
        self._end = max(self._end, position.get(0, 0))
        with closing(self.batches(size, position.get(0, 0))) as batches:
            for records in batches:
                if self._is_closed:
                    return
                self._end = max(self._end, records.offset + len(records.payloads))
                yield records
                since_pause += len(records.payloads)
                if since_pause >= 1024:
                    since_pause = 0
                    await asyncio.sleep(0)

    def batches(self, size: int, skip: int = 0) -> Generator[Records]:
        """The same without an event loop: batches of at most `size` records after the first `skip`."""
        offset = 0
        for self.current, path in enumerate(self.paths):  # noqa: B020 the index is told while a batch is out
            self.current_offset = offset
            try:
                with naming(path), self._records(path) as records:
                    time_s = path.stat().st_mtime
                    while offset < skip and (skipped := sum(1 for _ in islice(records, min(skip - offset, 1024)))):
                        offset += skipped
                    for payloads in batched(records, size):
                        yield Records(0, offset, payloads, time_s)
                        offset += len(payloads)
            except FormatError as error:
                line = self._line_after(path, offset - self.current_offset)
                raise SourceError(f"file {path}, line {line}: {error}") from error
        if offset < skip:
            raise SourceError(f"file {self.paths[-1]} ends at record {offset}, before the position {skip} to read from")

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """Raises SourceError: files are only read."""
        raise SourceError(f"file {self.paths[0]} is read-only here; append to a log: source")

    def start(self) -> Position:
        """A file is read from its first record."""
        return {0: 0}

    def end(self) -> Position:
        """How many records have been read so far; the true end only once a read has ended."""
        return {0: self._end}

    def release(self, position: Position) -> None:
        """Files keep everything."""

    async def close(self) -> None:
        """Reads end with their next batch."""
        self._is_closed = True

    @contextmanager
    def opened(self, path: Path) -> Iterator[BinaryIO]:
        """One of the files, unpacked, beside any read. Raises SourceError."""
        try:
            with naming(path), FileStream(path) as stream:
                yield cast(BinaryIO, stream)
        except FormatError as error:
            raise SourceError(f"file {path}, line 1: {error}") from error

    @contextmanager
    def _records(self, path: Path) -> Iterator[Iterator[bytes]]:
        if ending_of(path) == ".parquet":
            self._reading = rows = ParquetRows(path)
            with closing(iter(rows)) as payloads:
                yield payloads
            return
        with FileStream(path) as stream:
            self._reading = stream
            yield self._split(cast(BinaryIO, stream))

    def _line_after(self, path: Path, count: int) -> int:
        """The line on which the record after the first `count` begins, found by reading the file once more."""
        with naming(path), FileStream(path) as stream:
            lines = _Lines(stream)
            for _ in islice(self._split(cast(BinaryIO, lines)), count):
                pass
            return lines.count + 1


class _Lines(io.RawIOBase):
    """Gives lines only, whatever is asked for, and counts them."""

    def __init__(self, stream: FileStream) -> None:
        self._stream = stream
        self.count = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = self._stream.readline(-1 if size is None else size)
        self.count += line.endswith(b"\n")
        return line

    def read(self, size: int = -1, /) -> bytes:
        return self.readline(size)

    def __next__(self) -> bytes:
        if line := self.readline():
            return line
        raise StopIteration
