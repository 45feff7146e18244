"""What an embedded log may forget, and when. Knows blocks and their heads, never their records."""

import logging

from stream_app.sources.block_store import BlockStore
from stream_app.sources.blocks import BlockHead, Changes
from stream_app.sources.source import Position, SourceError

AT_ONCE_BLOCKS = 256
EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Retention:
    """Forgets the oldest blocks beyond `retain_s` seconds or `retain_bytes`: only released ones, never a newest one.

    Remembers the head of each partition's oldest block, so that looking costs nothing while nothing is due.
    """

    def __init__(self, store: BlockStore, partitions: int, retain_s: float | None, retain_bytes: int | None) -> None:
        self.start: Position = {partition: store.start(partition) for partition in range(partitions)}
        self._store = store
        self._retain_s = retain_s
        self._retain_bytes = retain_bytes
        self._released: Position = {}
        self._heads: dict[int, tuple[int, BlockHead]] = {}
        self._enforced_s = float("-inf")

    def release(self, position: Position) -> None:
        for partition, offset in position.items():
            self._released[partition] = max(offset, self._released.get(partition, 0))

    def is_due(self, now_s: float) -> bool:
        return now_s >= self._enforced_s + EVERY_S

    def enforce(self, now_s: float, end: Position, size: dict[int, int]) -> int:
        """Forget at most AT_ONCE_BLOCKS; returns how many bytes of payload. What fails now is tried again next time."""
        self._enforced_s = now_s
        if not self._released or (self._retain_s is None and self._retain_bytes is None):
            return 0
        start = dict(self.start)
        kept_bytes = sum(size[partition] - head.size_before for partition, head in self._oldest(start))
        forgotten = 0
        for _ in range(AT_ONCE_BLOCKS):
            loose = [found for found in self._oldest(start) if self._may_go(*found, start, end)]
            partition, head = min(loose, key=lambda found: found[1].seq, default=(0, None))
            if head is None or not self._must_go(head, now_s, kept_bytes):
                break
            start[partition] += head.count
            kept_bytes -= head.size_bytes
            forgotten += head.size_bytes
        return forgotten if self._forget(start) else 0

    def _oldest(self, start: Position) -> list[tuple[int, BlockHead]]:
        found = []
        for partition, offset in start.items():
            known = self._heads.get(partition)
            if known is None or known[0] != offset:
                head = self._store.head(partition, offset)
                if head is None:
                    continue
                known = self._heads[partition] = (offset, head)
            found.append((partition, known[1]))
        return found

    def _may_go(self, partition: int, head: BlockHead, start: Position, end: Position) -> bool:
        beyond = start[partition] + head.count
        return beyond <= self._released.get(partition, 0) and beyond < end[partition]

    def _must_go(self, head: BlockHead, now_s: float, kept_bytes: int) -> bool:
        is_old = self._retain_s is not None and head.time_s < now_s - self._retain_s
        return is_old or (self._retain_bytes is not None and kept_bytes > self._retain_bytes)

    def _forget(self, start: Position) -> bool:
        changes = Changes()
        for partition, offset in start.items():
            if offset > self.start[partition]:
                changes.forget(partition, self.start[partition], offset)
        try:
            is_forgotten = not changes.gone or self._store.write(changes)
        except SourceError as error:
            logger.warning("retention waits: %s", error)
            return False
        if is_forgotten:
            self.start.update(start)
        return is_forgotten
