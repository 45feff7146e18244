"""A stream that its first bytes give away as gzip or Zstandard, unpacked. Knows no names of files and no rows."""

import io
from typing import BinaryIO, Protocol, cast

GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
PACKED_BYTES = 1 << 14
"""Read of a packed stream at once: what that unpacks to is held in memory."""


class _Member(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def unpacked(stream: io.BufferedReader) -> BinaryIO:
    """The stream itself, or what it unpacks to.

    Reading raises EOFError where the packed stream is cut off, zlib.error or zstandard.ZstdError where it is damaged.
    """
    first = stream.peek(len(ZSTANDARD))
    if first.startswith((GZIP, ZSTANDARD)):
        return cast(BinaryIO, io.BufferedReader(_Unpacked(stream, first.startswith(GZIP))))
    return cast(BinaryIO, stream)


class _Unpacked(io.RawIOBase):
    """Members or frames, one after the other."""

    def __init__(self, stream: io.BufferedReader, is_gzip: bool) -> None:
        self._stream = stream
        self._is_gzip = is_gzip
        self._member: _Member | None = None
        self._packed = b""
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while not self._ready:
            self._packed = self._packed or self._stream.read1(PACKED_BYTES)
            if not self._packed and self._member is not None:
                raise EOFError(f"it ends in the middle of its {'gzip' if self._is_gzip else 'Zstandard'} data")
            if not self._packed:
                return 0
            self._unpack()
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _unpack(self) -> None:
        if self._member is None:
            if self._is_gzip and not (packed := self._packed.lstrip(b"\0")):
                self._packed = packed  # gzip files may be padded
                return
            self._member = _member(self._is_gzip)
        self._ready, self._packed = self._member.decompress(self._packed), b""
        if self._member.eof:
            self._packed, self._member = self._member.unused_data, None


def _member(is_gzip: bool) -> _Member:
    if is_gzip:
        import zlib

        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()
