"""Files read once, record by record, for backtests and bounded training. Knows where records end only by `split`."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from stream_app.sources.source import Order, Position, Records, SourceError

Split = Callable[[BinaryIO], Iterator[bytes]]
"""Cuts an open file into records in constant memory: Format.split."""

BUFFER_BYTES = 1 << 20


class FileSource:
    """The records of one or several files, in the order given, as partition 0; the offset counts over all of them.

    `.gz` files are unpacked. A read begins by skipping records, ends at the end of the last file, and holds one batch
    in memory; no batch spans two files, and its time is the file's modification time. What `split` raises goes through.
    Raises SourceError for a file that is missing or cannot be read, naming it, and for a position after the end.
    """

    keeps_order = True

    def __init__(self, paths: str | Path | Sequence[str | Path], split: Split) -> None:
        names = [paths] if isinstance(paths, str | Path) else paths
        self._paths = [Path(name) for name in names]
        self._split = split
        self._end = 0
        self._is_closed = False
        for path in self._paths:
            if not path.is_file():
                raise SourceError(f"file {path} is {'not a file' if path.exists() else 'missing'}; give a path to read")

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
        for records in self._batches(position.get(0, 0), size):
            if self._is_closed:
                return
            self._end = max(self._end, records.offset + len(records.payloads))
            yield records
            since_pause += len(records.payloads)
            if since_pause >= 1024:
                since_pause = 0
                await asyncio.sleep(0)

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """Raises SourceError: files are only read."""
        raise SourceError(f"file {self._paths[0]} is read-only here; append to a log: source")

    def end(self) -> Position:
        """How many records have been read so far; the true end only once a read has ended."""
        return {0: self._end}

    def release(self, position: Position) -> None:
        """Files keep everything."""

    async def close(self) -> None:
        """Reads end with their next batch."""
        self._is_closed = True

    def _batches(self, skip: int, size: int) -> Iterator[Records]:
        offset = 0
        for path in self._paths:
            with _naming(path), ExitStack() as stack:
                time_s = path.stat().st_mtime
                stream = stack.enter_context(closing(_open(path)))
                records = self._split(stream)
                while offset < skip and (skipped := sum(1 for _ in islice(records, min(skip - offset, 1024)))):
                    offset += skipped
                while payloads := list(islice(records, size)):
                    yield Records(0, offset, payloads, time_s)
                    offset += len(payloads)
        if offset < skip:
            raise SourceError(
                f"file {self._paths[-1]} ends at record {offset}, before the position {skip} to read from"
            )


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb", buffering=BUFFER_BYTES)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"file {path} cannot be read: {error}") from error
