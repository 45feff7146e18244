"""Files to pieces of whole lines, in constant memory. Knows nothing of columns.

Text is Latin-1 on the way in and out, so every byte of the input reaches the output as it was.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from io import BufferedReader

from tools.csv2vw_parts.errors import ConversionStopped

CHUNK_BYTES = 1 << 18
STDIN = "-"


class Chunk:
    """Whole lines of a file, without the last one's newline; whether they are its first, and end in a newline."""

    __slots__ = ("begins_file", "is_ended", "path", "text")

    def __init__(self, path: str, text: str, begins_file: bool, is_ended: bool = True) -> None:
        self.path = path
        self.text = text
        self.begins_file = begins_file
        self.is_ended = is_ended


def check_paths(paths: Sequence[str]) -> None:
    """Raise ConversionStopped (2) for the first of the files that is not there."""
    for path in paths:
        if path != STDIN and not os.path.exists(path):  # noqa: PTH110 (pathlib takes longer to import than all of this)
            raise ConversionStopped(f"csv2vw: cannot read {path!r}: No such file or directory")


def read_chunks(paths: Sequence[str]) -> Iterator[Chunk]:
    """Yield the lines of all files, as many at once as are there: a pipe's lines come when they come.

    Reads standard input where `paths` is empty or a path is "-". Raises ConversionStopped (2) for a file that
    cannot be read.
    """
    for path in paths or [STDIN]:
        with _opened(path) as stream:
            yield from _chunks(path, stream)


def _opened(path: str) -> BufferedReader:
    try:
        if path == STDIN:
            return open(sys.stdin.fileno(), "rb", closefd=False)
        return open(path, "rb")  # noqa: PTH123
    except OSError as error:
        raise ConversionStopped(f"csv2vw: cannot read {path!r}: {error.strerror}") from error


def _chunks(path: str, stream: BufferedReader) -> Iterator[Chunk]:
    rest, begins_file = b"", True
    while data := stream.read1(CHUNK_BYTES):
        end = data.rfind(b"\n")
        if end < 0:
            rest += data
            continue
        yield Chunk(path, (rest + data[:end]).decode("latin-1"), begins_file)
        rest, begins_file = data[end + 1 :], False
    if rest:
        yield Chunk(path, rest.decode("latin-1"), begins_file, is_ended=False)
