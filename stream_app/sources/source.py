"""The Source seam: where events come from and are appended to. Knows bytes and offsets, never what they mean."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

Position = dict[int, int]
"""Per partition, the next offset to read. A missing partition means its beginning."""

Order = list[tuple[int, int]]
"""In which order partitions were read: runs of (partition, number of records)."""


class SourceError(Exception):
    """A source that cannot be opened, read or written. The message says which, and what to do."""


class SourceHeld(SourceError):
    """Another process owns this source; the message says who."""


class SourceFull(SourceError):
    """Nothing of this append was accepted, because the medium is full or away. The caller may try again later."""


class SourceAway(SourceError):
    """It does not answer. The caller may try again."""


class ReadOnly(SourceError):
    """This service only follows: it neither reads nor appends."""


class PositionLost(SourceError):
    """The position asked for lies before what retention has kept. `lost`: per partition, the offsets in between."""

    def __init__(self, message: str, lost: dict[int, range]) -> None:
        super().__init__(message)
        self.lost = lost


class Records(msgspec.Struct, frozen=True):
    """A micro-batch: contiguous records of one partition. Empty `payloads` means: nothing new, still alive."""

    partition: int
    offset: int
    """Offset of payloads[0]; the records end before offset + len(payloads)."""
    payloads: list[bytes]
    time_s: float
    """When the records were appended, Unix seconds."""


class Source(Protocol):
    """An ordered, partitioned, append-only log of records.

    On failure: `append` either returns offsets of records that survive `kill -9` and power loss, or raises and none of
    them is acknowledged. On restart: `read(position)` gives exactly the records from that position on, each once.
    """

    keeps_order: bool
    """Whether `read` alone gives the same interleaving of partitions each time, without being told an order."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be read or appended at present; None while it can. It goes on by itself."""
        ...

    def read(self, position: Position, order: Order = ..., size: int = ...) -> AsyncGenerator[Records, None]:
        """Micro-batches of at most `size` records from `position` on.

        Where `order` is given, its runs are delivered first and exactly so; afterwards the source's own order.
        A live source never ends, and yields an empty batch at least once a second while idle; a file ends.
        Raises PositionLost when the position is older than what is kept.
        """
        ...

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """Append durably; returns the offsets given, per partition. Equal keys go to equal partitions.

        Raises SourceFull when nothing was accepted.
        """
        ...

    def start(self) -> Position:
        """Per partition, the first offset that is kept."""
        ...

    def end(self) -> Position:
        """Per partition, the offset that the next appended record will get."""
        ...

    def release(self, position: Position) -> None:
        """No restart will read before `position` any more: retention may forget what lies there (it need not)."""
        ...

    async def close(self) -> None:
        """Let go of everything held. Idempotent."""
        ...
