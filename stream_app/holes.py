"""Holes: ranges of the log that a model has not learnt from, or must not. Knows offsets only."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from checkpoints.manifest import Hole
from stream_app.sources.source import Position


class Excepted:
    """Holes that lie ahead, and, by partition and in order, the offsets that they cover."""

    def __init__(self, holes: Iterable[Hole] = ()) -> None:
        self.holes = list(holes)
        self._firsts: dict[int, list[int]] = {}
        self._lasts: dict[int, list[int]] = {}
        for hole in sorted(self.holes, key=lambda hole: (hole.partition, hole.first)):
            self._cover(hole)

    def add(self, holes: Sequence[Hole]) -> None:
        """More of them, none before the end of those that the same partition has."""
        self.holes += holes
        for hole in holes:
            self._cover(hole)

    def end(self, partition: int) -> int:
        """The offset after the last one covered."""
        lasts = self._lasts.get(partition)
        return lasts[-1] if lasts else 0

    def left(self, partition: int, offsets: range) -> Sequence[int]:
        """The offsets that no hole covers; `offsets` itself where none of them is covered.

        >>> list(Excepted([Hole(partition=0, first=3, last=5, why="")]).left(0, range(2, 7)))
        [2, 5, 6]
        """
        firsts = self._firsts.get(partition)
        if not firsts or not offsets:
            return offsets
        lasts = self._lasts[partition]
        index = bisect_right(lasts, offsets.start)
        if index == len(firsts) or firsts[index] >= offsets.stop:
            return offsets
        kept: list[int] = []
        here = offsets.start
        while index < len(firsts) and firsts[index] < offsets.stop:
            kept += range(here, firsts[index])
            here = lasts[index]
            index += 1
        return [*kept, *range(here, offsets.stop)]

    def _cover(self, hole: Hole) -> None:
        firsts, lasts = self._firsts.setdefault(hole.partition, []), self._lasts.setdefault(hole.partition, [])
        if lasts and hole.first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], hole.last)
        else:
            firsts.append(hole.first)
            lasts.append(hole.last)


def split(holes: Sequence[Hole], position: Position) -> tuple[list[Hole], list[Hole]]:
    """The parts of `holes` that lie before `position`, and those at or after it."""
    passed, ahead = [], []
    for hole in holes:
        here = position.get(hole.partition, 0)
        if hole.first < here:
            passed.append(msgspec.structs.replace(hole, last=min(hole.last, here)))
        if hole.last > here:
            ahead.append(msgspec.structs.replace(hole, first=max(hole.first, here)))
    return passed, ahead


def joined(holes: Sequence[Hole]) -> list[Hole]:
    """A hole that was passed in several stretches is one, wherever checkpoints fell, and so are neighbours.

    >>> [(one.first, one.last) for one in joined([Hole(partition=0, first=n, last=n + 1, why="") for n in (1, 2, 4)])]
    [(1, 3), (4, 5)]
    """
    joined: list[Hole] = []
    latest: dict[int, int] = {}
    for hole in holes:
        place = latest.get(hole.partition)
        last = joined[place] if place is not None else None
        if last is not None and place is not None and (last.last, last.why) == (hole.first, hole.why):
            joined[place] = msgspec.structs.replace(last, last=hole.last)
        else:
            latest[hole.partition] = len(joined)
            joined.append(hole)
    return joined
