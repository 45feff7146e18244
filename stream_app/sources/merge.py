"""Reads several partitions of blocks as one stream, in an order that only the position and the log decide."""

from collections.abc import Callable, Iterator
from itertools import islice

from stream_app.sources.blocks import Block
from stream_app.sources.source import Order, Position, PositionLost, Records, SourceError

Find = Callable[[int, int], tuple[int, Block] | None]
"""(partition, offset) to the block that holds it and its first offset; None at the end. Raises SourceError."""


class Merge:
    """One reader's place in every partition; a partition that `position` does not name is read from its start.

    Always goes on with the partition whose next block was appended first. Blocks become visible in the order in which
    they were appended, so what is not there yet never comes before what is: the same position in the same log gives
    the same order, however often and wherever reading is interrupted.
    """

    def __init__(self, find: Find, position: Position, start: Position, end: Position) -> None:
        """Raises PositionLost or SourceError when `position` does not lie between `start` and `end`."""
        check_position(position, start, end)
        begin = {**start, **position}
        self._cursors = {partition: _Cursor(find, partition, begin[partition]) for partition in end}

    def follow(self, order: Order, size: int) -> Iterator[Records]:
        """Exactly these runs, cut into at most `size` records. Raises SourceError where the log holds fewer."""
        for partition, count in order:
            cursor = self._cursors.get(partition)
            while count > 0:
                records = cursor.take(min(size, count), None) if cursor else None
                if records is None:
                    raise SourceError(f"the order to follow asks for {count} more records of partition {partition}")
                count -= len(records.payloads)
                yield records

    def next(self, size: int) -> Records | None:
        """The next records in the log's own order, None when all have been read."""
        if len(self._cursors) == 1:
            return self._cursors[0].take(size, None)
        ahead = ((cursor.seq(), partition) for partition, cursor in self._cursors.items())
        ready = sorted((seq, partition) for seq, partition in ahead if seq is not None)
        if not ready:
            return None
        until = next((seq for seq, _ in islice(ready, 1, None)), None)
        return self._cursors[ready[0][1]].take(size, until)

    def offsets(self) -> Position:
        """Per partition, the next offset to read."""
        return {partition: cursor.offset for partition, cursor in self._cursors.items()}


class _Cursor:
    def __init__(self, find: Find, partition: int, offset: int) -> None:
        self.offset = offset
        self._partition = partition
        self._find = find
        self._first = 0
        self._block: Block | None = None

    def seq(self) -> int | None:
        block = self._ahead()
        return None if block is None else block.seq

    def take(self, size: int, until: int | None) -> Records | None:
        """At most `size` records, joined from blocks that were appended before the block `until`."""
        block = self._ahead()
        if block is None:
            return None
        first, payloads = self.offset, self._cut(block, size)
        while len(payloads) < size and (more := self._ahead()) is not None and (until is None or more.seq < until):
            payloads = payloads + self._cut(more, size - len(payloads))
        return Records(self._partition, first, payloads, block.time_s)

    def _ahead(self) -> Block | None:
        if self._block is None or self.offset >= self._first + self._block.count:
            found = self._find(self._partition, self.offset)
            if found is None:
                self._block = None
            else:
                self._first, self._block = found
        return self._block

    def _cut(self, block: Block, size: int) -> list[bytes]:
        begin = self.offset - self._first
        payloads = block.payloads[begin : begin + size]
        self.offset += len(payloads)
        return payloads


def check_position(position: Position, start: Position, end: Position) -> None:
    """Raises PositionLost or SourceError for an offset outside of `start` to `end`."""
    for partition, offset in position.items():
        if partition not in end:
            raise SourceError(f"there is no partition {partition!r}: this log has {len(end)}, numbered from 0")
        if not 0 <= offset <= end[partition]:
            raise SourceError(
                f"partition {partition} ends at {end[partition]}, before the position {offset} to read from: the log is"
                " shorter than what was learnt from it; was it deleted or replaced?"
            )
        if offset < start[partition]:
            raise PositionLost(
                f"position {offset} of partition {partition} is no longer kept: the log begins at {start[partition]};"
                " begin from a newer checkpoint, or go on without them by weir serve --accept-loss",
                lost_before(start, position),
            )


def lost_before(start: Position, position: Position) -> dict[int, range]:
    """Per partition, the offsets from `position` on that lie before `start`, where there are any."""
    return {part: range(offset, start[part]) for part, offset in position.items() if offset < start[part]}
