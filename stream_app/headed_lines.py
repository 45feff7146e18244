"""Blobs of lines behind one line of JSON that says how they came about. Knows not what the lines mean."""

from typing import TypeVar

import msgspec

Head = TypeVar("Head", bound=msgspec.Struct)


def with_head(head: msgspec.Struct, lines: bytes | bytearray) -> bytes:
    """The blob. Each of the lines ends with a line feed."""
    return b"".join((msgspec.json.encode(head), b"\n", lines))


def cut(blob: bytes, kind: type[Head], what: str) -> tuple[Head, bytes]:
    """Head and lines of a blob; of b"", as where a checkpoint has none, those of the very beginning.

    Raises ValueError, which says that this is not how `what` begins.

    >>> class Count(msgspec.Struct):
    ...     lines: int = 0
    >>> cut(with_head(Count(2), b"a\\nb\\n"), Count, "names: a list"), cut(b"", Count, "names: a list")
    ((Count(lines=2), b'a\\nb\\n'), (Count(lines=0), b''))
    """
    head, _, lines = blob.partition(b"\n")
    if not blob:
        return kind(), lines
    try:
        return msgspec.json.decode(head, type=kind), lines
    except msgspec.DecodeError as error:
        subject, _, name = what.partition(": ")
        raise ValueError(f"{subject}: {head[:60]!r} is not how {name} begins: {error}") from error


def lines_of(blob: bytes) -> list[bytes]:
    """The lines behind the head."""
    return blob.split(b"\n")[1:-1]
