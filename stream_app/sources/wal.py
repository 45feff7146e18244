"""A look at RocksDB's write-ahead logs before RocksDB reads them. Knows record headers, never what is in records."""

from pathlib import Path

from stream_app.sources.source import SourceError

BLOCK_BYTES = 32 << 10
HEADER_BYTES = 7
RECYCLED = frozenset({5, 6, 7, 8, 11})


def check_wals(directory: Path) -> None:
    """Raises SourceError for a WAL on which RocksDB would not return.

    It loops forever, holding the GIL, when a header says that its record is of a recycled log file, as one flipped bit
    can make it say. This log recycles none, so no such header is sound.
    """
    for path in sorted(directory.glob("*.log")):
        place = _recycled_at(path)
        if place is not None:
            raise SourceError(
                f"log {directory.parent} is damaged: {path} cannot be read beyond byte {place}. Restore it from a copy;"
                f" or, if a power loss left that tail, cut it off with `truncate -s {place} {path}`: opening then says"
                " whether acknowledged records are missing"
            )


def _recycled_at(path: Path) -> int | None:
    with path.open("rb") as file:
        begin = 0
        while data := file.read(BLOCK_BYTES):
            at = 0
            while at + HEADER_BYTES <= len(data):
                length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
                if kind in RECYCLED:
                    return begin + at
                if length == 0 and kind == 0:
                    break
                at += HEADER_BYTES + length
                if at > len(data):
                    return None
            begin += len(data)
    return None
