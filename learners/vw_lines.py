"""The first lines of VW text, for VW's `--examples`, which counts lines: also those of groups, and the empty ones."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

Split = Callable[[BinaryIO], Iterator[bytes]]
"""Cuts a stream into payloads."""


def of_first_lines(split: Split, count: int | None) -> Split:
    """The same split, that ends after `count` lines, counted over all the streams it is given; None for no end."""
    if count is None:
        return split
    left = [count]

    def cut(stream: BinaryIO) -> Iterator[bytes]:
        return split(cast("BinaryIO", _FirstLines(stream, left)))

    return cut


class _FirstLines:
    """As much of a stream as has lines left: what a split reads of it."""

    def __init__(self, stream: BinaryIO, left: list[int]) -> None:
        self._stream = stream
        self._left = left
        self._is_in_line = False

    def read(self, size: int = -1) -> bytes:
        if self._left[0] <= 0:
            return b""
        piece = self._stream.read(size)
        if not piece and size != 0:  # the stream ends: a last line without its end counts too
            self._left[0] -= self._is_in_line
            self._is_in_line = False
            return piece
        self._is_in_line = not piece.endswith(b"\n")
        ends = piece.count(b"\n")
        if ends < self._left[0]:
            self._left[0] -= ends
            return piece
        *lines, _ = piece.split(b"\n", self._left[0])
        self._left[0] = 0
        return b"\n".join([*lines, b""])

    def __iter__(self) -> Iterator[bytes]:
        while self._left[0] > 0:
            line = self._stream.readline()
            if not line:
                return
            self._left[0] -= 1
            yield line
