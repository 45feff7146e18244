"""A file as a stream of bytes, unpacked where it is packed. Knows no records, only how long a line may be."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO, Protocol, cast

import zstandard

from formats.lines import MAX_LINE_BYTES
from stream_app.sources.source import SourceError

BUFFER_BYTES = 1 << 20
PACKED_BYTES = 16 << 10
"""Read of a packed file at once: what that unpacks to is held in memory."""

PACKED = (".gz", ".zst")
_LINE_END = re.compile(b"\n")


class FileStream(io.BufferedReader):
    """The bytes of a `.gz`, `.zst` or plain file. Every whole line before damage is given before the damage is raised.

    Raises SourceError for a line of more than MAX_LINE_BYTES. `read` is for what has no lines, and gives what there is
    of the size asked for, at least one byte before the end.
    """

    def __init__(self, path: Path) -> None:
        self._unpacked = _Unpacked(path)
        super().__init__(self._unpacked, BUFFER_BYTES)

    @property
    def consumed_bytes(self) -> int:
        """How far the file has been read, in bytes of the file as it lies there."""
        return self._unpacked.consumed_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        self._unpacked.has_lines = False
        return self.read1(-1 if size is None else size)


class _Packed(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """What the file holds, piece by piece, and how long no line has ended in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._packed = _unpacker(path, self._file)
        self._line_bytes = 0
        self._closed_at = 0
        self.has_lines = True

    @property
    def consumed_bytes(self) -> int:
        return self._closed_at if self._file.closed else self._file.tell()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if self._packed is None:
            count = self._file.readinto(buffer) or 0
        else:
            data = self._packed.read1(len(buffer))
            count = len(data)
            buffer[:count] = data
        if self.has_lines:
            self._check_line(buffer[:count])
        return count

    def close(self) -> None:
        self._closed_at = self.consumed_bytes
        self._file.close()
        super().close()

    def _check_line(self, data: memoryview) -> None:
        self._line_bytes = 0 if _LINE_END.search(data) else self._line_bytes + len(data)
        if self._line_bytes > MAX_LINE_BYTES:
            raise SourceError(
                f"file {self._path}: a line of more than {MAX_LINE_BYTES} bytes; expected one event a line: "
                "is it of another format than events.format says?"
            )


class _Zstd:
    """Frames of Zstandard, one after the other. Unlike the library's own reader it says where a file is cut off."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._ready = b""

    def read1(self, size: int, /) -> bytes:
        while not self._ready:
            chunk = self._file.read(PACKED_BYTES)
            if not chunk and self._frame is not None:
                raise EOFError("it ends in the middle of a Zstandard frame")
            if not chunk:
                return b""
            self._ready = b"".join(self._frames(chunk))
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _frames(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            yield self._frame.decompress(chunk)
            if not self._frame.eof:
                return
            chunk, self._frame = self._frame.unused_data, None


def _unpacker(path: Path, file: io.FileIO) -> _Packed | None:
    ending = ending_of(path)
    if ending == ".gz":
        return cast(_Packed, gzip.GzipFile(fileobj=cast(BinaryIO, file), mode="rb"))
    return _Zstd(file) if ending == ".zst" else None


def ending_of(path: PurePath) -> str:
    """The last ending of a name, by which it is told how a file is written, in small letters.

    >>> ending_of(PurePath("A.VW.GZ"))
    '.gz'
    """
    return path.suffix.lower()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Damage and failures become SourceErrors that name the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise SourceError(f"file {path} cannot be read: {error}") from error
