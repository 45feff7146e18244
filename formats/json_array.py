"""The items of one JSON array, cut while it is being read. Knows where a value ends, never what it means."""

import re
from collections.abc import Iterator
from typing import BinaryIO

import orjson

from formats.example import FormatError

MAX_VALUE_BYTES = 8 << 20
"""Of one item, or of one value over several lines, at most."""

_PIECE_BYTES = 64 << 10
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\],]', re.DOTALL)
"""A whole string, one that is not complete yet, or what opens, closes and parts values."""


def array_items(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """The items of the array that begins with `head` and goes on in `stream`, each on one line.

    Holds one item in memory. An item that is no JSON stays as it is, for a decoder to refuse. Raises FormatError,
    after every item before, where the array is not closed, is followed by something, or an item has no end.

    >>> import io
    >>> list(array_items(b'[{"a": "]"},', io.BytesIO(b' [1, 2], 3]')))
    [b'{"a":"]"}', b'[1,2]', b'3']
    """
    buffer, at, depth, number = head[1:], 0, 0, 0
    while True:
        token = _TOKEN.search(buffer, at)
        if token is None or token[0] == b'"':
            at = token.start() if token is not None else len(buffer)
            buffer += _more(stream, buffer, number)
            continue
        at = token.end()
        kind = token[0]
        if kind in b"{[":
            depth += 1
        elif depth and kind in b"}]":
            depth -= 1
        elif not depth and kind in b",]}":
            item = buffer[: token.start()].strip()
            if item or kind == b"," or number:
                yield _one_line(item)
            if kind != b",":
                _check_end(buffer[at:], stream)
                return
            buffer, at, number = buffer[at:], 0, number + 1


def _more(stream: BinaryIO, buffer: bytes, number: int) -> bytes:
    if len(buffer) > MAX_VALUE_BYTES:
        raise FormatError(
            f"item {number + 1} of the array has no end within {MAX_VALUE_BYTES} bytes: {buffer[:60].strip()!r}"
        )
    piece = stream.read(_PIECE_BYTES)
    if not piece:
        last = number + 1 if buffer.strip() else number
        raise FormatError(f"the array that begins on the first line is not closed after item {last}: it is cut off")
    return piece


def _one_line(item: bytes) -> bytes:
    try:
        return orjson.dumps(orjson.loads(item))
    except orjson.JSONDecodeError:
        return item


def _check_end(rest: bytes, stream: BinaryIO) -> None:
    while not (found := rest.strip()):
        rest = stream.read(_PIECE_BYTES)
        if not rest:
            return
    raise FormatError(f"after the array comes {found[:60]!r}; expected the end: one array a file, or one event a line")
