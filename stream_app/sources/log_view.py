"""An embedded log read by a process that does not own it, while another one may be appending. Changes nothing."""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from stream_app.sources.block_store import BlockStore
from stream_app.sources.blocks import Block
from stream_app.sources.log_directory import partitions_of
from stream_app.sources.merge import Merge, check_position
from stream_app.sources.source import Order, Position, ReadOnly, Records, SourceError

LOOK_S = 0.02
"""How long after the end was reached it is looked for more."""

IDLE_S = 1.0


class LogView:
    """The log in `directory`, as far as it is acknowledged: the same records in the same order as EmbeddedLog reads.

    Raises SourceError where there is no log, or it is damaged. `end` and `start` are as of the last look; reading looks
    whenever it has reached the end.
    """

    keeps_order = True
    problem: str | None = None

    def __init__(self, directory: str | Path, own: Path | None = None) -> None:
        """`own` is a folder for what RocksDB writes for itself, instead of a temporary one."""
        self._path = Path(directory)
        self._own = tempfile.TemporaryDirectory(prefix="weir-view-", dir=own)
        self._is_closed = False
        try:
            self._partitions = partitions_of(self._path)
            self._store = BlockStore(self._path, self._partitions)
            self._store.open_to_follow(Path(self._own.name))
            self._end: Position = {}
            self.look()
        except OSError as error:
            self._own.cleanup()
            raise SourceError(f"log {directory} cannot be read: {error}; is it there?") from error
        except BaseException:
            self._own.cleanup()
            raise

    def look(self) -> None:
        """See what was appended since."""
        self._end = {**self._end, **self._store.follow()}

    async def read(
        self, position: Position, order: Order | None = None, size: int = 1024
    ) -> AsyncGenerator[Records, None]:
        """See Source.read."""
        merge = Merge(self._find, position, self.start(), self._end)
        for records in merge.follow(order or [], size):
            yield records
            await asyncio.sleep(0)
        idle_since = time.monotonic()
        while not self._is_closed:
            batch = merge.next(size)
            if batch is not None:
                yield batch
                await asyncio.sleep(0)
                idle_since = time.monotonic()
                continue
            if time.monotonic() - idle_since >= IDLE_S:
                idle_since = time.monotonic()
                yield Records(0, merge.offsets()[0], [], time.time())
            await asyncio.sleep(LOOK_S)
            if not self._is_closed:
                self.look()

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """Raises ReadOnly."""
        raise ReadOnly(f"log {self._path} is only read here: send events to the service that owns it")

    def start(self) -> Position:
        """Per partition, the first offset that is kept."""
        return {partition: self._store.start(partition) for partition in range(self._partitions)}

    def end(self) -> Position:
        """Per partition, the offset after the last acknowledged record, as of the last look."""
        return dict(self._end)

    def release(self, position: Position) -> None:
        """Nothing: the owner decides what is kept."""

    async def close(self) -> None:
        """Let go of the log. Reads end."""
        if not self._is_closed:
            self._is_closed = True
            self._store.close()
            self._own.cleanup()

    def _find(self, partition: int, offset: int) -> tuple[int, Block] | None:
        if offset >= self._end.get(partition, 0):
            return None
        found = self._store.find(partition, offset)
        if found is None:
            check_position({partition: offset}, self.start(), self._end)
            raise SourceError(
                f"log {self._path} is damaged: the block with offset {offset} of partition {partition} is gone; restore"
                " it from a copy"
            )
        return found
