"""A stream cut at its line ends, many lines at once: far faster than line by line. Knows no format but its quotes."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from formats.example import FormatError

CHUNK_BYTES = 1 << 18

BOM = b"\xef\xbb\xbf"
"""The byte order mark that some programs put before UTF-8."""

MAX_LINE_BYTES = 16 << 20
"""Of a line, at most: a file without line ends must not fill the memory."""

MAX_ROW_BYTES = 1 << 20
"""Of a row whose quoted cells hold line ends, at most."""

_BYTE_WISE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d|koi8-\w|mac-\w+")


def is_byte_wise(encoding: str) -> bool:
    """Whether the bytes of separators, quotes and line ends stand for nothing else, and no line changes the next one.

    >>> is_byte_wise("latin-1"), is_byte_wise("utf-16")
    (True, False)
    """
    return _BYTE_WISE.fullmatch(codecs.lookup(encoding).name) is not None


class QuotedRow:
    """A CSV row that grows line by line while a quote is open in it, to `most_bytes`."""

    def __init__(self, most_bytes: int = MAX_ROW_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lines: list[bytes] = []
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, line: bytes) -> bytes | None:
        """The next line, without its line feed; gives the row if this ends it. Raises FormatError if it is too long.

        >>> row = QuotedRow()
        >>> [row.add(line) for line in (b'a', b'"b', b'c"')]
        [b'a', None, b'"b\\nc"']
        """
        is_quote_met = line.count(b'"') % 2 == 1
        if not self._lines and not is_quote_met:
            return line
        self._lines.append(line)
        self._bytes += len(line) + 1
        if is_quote_met and len(self._lines) > 1:
            return self.rest()
        if self._bytes > self._most_bytes:
            raise FormatError(
                f"a quote opened in {self._lines[0][:60]!r} is not closed within {self._most_bytes} bytes"
            )
        return None

    def rest(self) -> bytes:
        """What there is of a row, as no more lines come; an empty one begins."""
        row, self._lines, self._bytes = b"\n".join(self._lines), [], 0
        return row


def line_blocks(stream: BinaryIO) -> Iterator[bytes]:
    r"""Whole lines, many in one piece, without the line feed of the last. Raises FormatError for a line without end.

    >>> import io
    >>> list(line_blocks(io.BytesIO(b"a\nb\n\nc")))
    [b'a\nb\n', b'c']
    """
    rest: list[bytes] = []
    while chunk := stream.read(CHUNK_BYTES):
        end = chunk.rfind(b"\n")
        if end >= 0:
            yield b"".join([*rest, chunk[:end]])
            rest = [chunk[end + 1 :]]
            continue
        rest.append(chunk)
        if sum(map(len, rest)) > MAX_LINE_BYTES:
            raise FormatError(
                f"a line of more than {MAX_LINE_BYTES} bytes, which begins {rest[0][:60]!r}: is it of another format?"
            )
    if last := b"".join(rest):
        yield last


def lines(stream: BinaryIO) -> Iterator[bytes]:
    r"""Lines that are not empty, without their ends, one by one.

    >>> import io
    >>> list(lines(io.BytesIO(b"a\r\n\r\nb")))
    [b'a', b'b']
    """
    for block in line_blocks(stream):
        cut = block.split(b"\n")
        if b"\r" in block:
            cut = [line.rstrip(b"\r") for line in cut]
        yield from filter(None, cut)
