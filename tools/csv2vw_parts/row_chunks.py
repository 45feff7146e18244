"""Files to pieces of whole CSV rows, with the number of the line that each begins on, in constant memory.

Knows quotes, as a row may span lines with them, but no columns. Bytes are UTF-8 or of an encoding in which separators,
quotes and line ends stand for nothing else; `opened` turns any other encoding into UTF-8.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from formats.lines import BOM, MAX_ROW_BYTES, QuotedRow, is_byte_wise
from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.misplaced_quotes import unclosed
from tools.csv2vw_parts.packed_stream import unpacked

CHUNK_BYTES = 1 << 16
STDIN = "-"


class RowChunk(NamedTuple):
    """Whole rows with their line ends. If `fault` is not empty, the first line is no row, and this says why."""

    line: int
    data: bytes
    fault: str = ""


def row_encoding(encoding: str) -> str:
    """The encoding of the bytes of chunks, where files are of `encoding`."""
    return encoding if is_byte_wise(encoding) else "utf-8"


@contextmanager
def opened(path: str, encoding: str) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked. Raises ConversionStopped: 2 if it cannot be opened, 1 if reading fails."""
    try:
        if path == STDIN:
            stream = unpacked(io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), CHUNK_BYTES))
        elif path.lower().endswith((".gz", ".zst")):
            from stream_app.sources.file_stream import FileStream  # loads zstandard

            stream = cast(BinaryIO, FileStream(Path(path)))
        else:
            stream = unpacked(Path(path).open("rb"))  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ConversionStopped(f"csv2vw: cannot read {path!r}: {error.strerror}") from error
    try:
        with stream:
            yield stream if row_encoding(encoding) == encoding else cast(BinaryIO, _AsUtf8(stream, encoding))
    except BrokenPipeError:
        raise
    except _failures() as error:
        raise ConversionStopped(f"csv2vw: {path}: cannot be read on: {error}", 1) from error


def chunks(stream: BinaryIO, has_quotes: bool) -> Iterator[RowChunk]:
    """Yield the rows, as many at once as are there: a pipe's rows come when they come. A fault is one of quotes."""
    line, rest = 1, b""
    read = getattr(stream, "read1", stream.read)
    while data := read(CHUNK_BYTES):
        rest += data
        if b"\n" not in data:
            if len(rest) > MAX_ROW_BYTES:
                raise ConversionStopped(f"csv2vw: line {line} is longer than {MAX_ROW_BYTES:,} bytes", 1)
            continue
        rest = _without_mark(line, rest)
        while True:
            end = whole_bytes(rest) if has_quotes else rest.rfind(b"\n") + 1
            if end:
                yield RowChunk(line, rest[:end])
                line += rest.count(b"\n", 0, end)
                rest = rest[end:]
            if len(rest) <= MAX_ROW_BYTES:
                break
            chunk, rest = _unclosed(line, rest, f"within {MAX_ROW_BYTES:,} bytes")
            yield chunk
            line += 1
    rest = _without_mark(line, rest)
    while has_quotes and rest.count(b'"') % 2:
        chunk, rest = _unclosed(line, rest, "before the end of the file")
        yield chunk
        line += 1
    if rest:
        yield RowChunk(line, rest)


def whole_bytes(data: bytes) -> int:
    """How many bytes of this are whole rows: up to the last line end that stands outside quotes.

    >>> whole_bytes(b'a\\n"b\\n'), whole_bytes(b'a\\n"b\\n"\\nc'), whole_bytes(b'"a')
    (2, 7, 0)
    """
    end = data.rfind(b"\n") + 1
    if not data.count(b'"', 0, end) % 2:
        return end
    whole = position = quotes = 0
    for line in data[:end].split(b"\n")[:-1]:
        position += len(line) + 1
        quotes += line.count(b'"')
        if not quotes % 2:
            whole = position
    return whole


def first_row(chunk: RowChunk, has_quotes: bool) -> tuple[bytes, RowChunk]:
    """The first row that is not empty (b"" where there is none), and the chunk after it."""
    row_at, position = _row_ends(chunk, has_quotes), 0
    for number, line in enumerate(chunk.data.split(b"\n"), chunk.line + 1):
        position += len(line) + 1
        if row := (row_at(line) or b"").rstrip(b"\r\n"):
            return row, RowChunk(number, chunk.data[position:])
    return b"", RowChunk(chunk.line + chunk.data.count(b"\n") + 1, b"")


def rows(chunk: RowChunk, has_quotes: bool) -> Iterator[tuple[int, bytes]]:
    """The rows of a chunk one by one, without their line ends, empty ones left out, and the line each begins on."""
    row_at, first = _row_ends(chunk, has_quotes), chunk.line
    for number, line in enumerate(chunk.data.split(b"\n"), chunk.line):
        row = row_at(line)
        if row is not None:
            if bare := row.rstrip(b"\r\n"):
                yield first, bare
            first = number + 1


def _row_ends(chunk: RowChunk, has_quotes: bool) -> Callable[[bytes], bytes | None]:
    """Takes the lines of a chunk; gives the row that each ends, if it ends one."""
    return QuotedRow(len(chunk.data) + 1).add if has_quotes else _itself


def _itself(line: bytes) -> bytes:
    return line


def _without_mark(line: int, data: bytes) -> bytes:
    return data.removeprefix(BOM) if line == 1 else data


def _unclosed(line: int, rest: bytes, where: str) -> tuple[RowChunk, bytes]:
    bad, end, rest = rest.partition(b"\n")
    return RowChunk(line, bad + end, unclosed(line, bad.rstrip(b"\r").decode("utf-8", "replace"), where)), rest


def _failures() -> tuple[type[Exception], ...]:
    """What reading raises: of modules that unpack only where one was loaded."""
    found: list[type[Exception]] = [OSError, EOFError, UnicodeError]
    for module, name in (("zlib", "error"), ("zstandard", "ZstdError"), ("stream_app.sources.source", "SourceError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


class _AsUtf8:
    """A stream of another encoding as UTF-8. Raises ValueError, saying where, for bytes that are not of it."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, newline="")

    def read(self, size: int) -> bytes:
        return self._text.read(size).encode()


def size_bytes(paths: list[str]) -> int:
    """Of all these files as they lie there; 0 where one of them has no size."""
    if not paths or not all(os.path.isfile(path) for path in paths):  # noqa: PTH113 ("-" is no path)
        return 0
    return sum(Path(path).stat().st_size for path in paths)
