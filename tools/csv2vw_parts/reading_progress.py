"""How far the files have been read, shown on a terminal. Nothing is shown, nor loaded, where there is none."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

SHOWN_FROM_BYTES = 16 << 20
"""Smaller files are done before anyone has read it."""


class Shows(Protocol):
    """Takes how many bytes have been read of all."""

    def __call__(self, done_bytes: int, /) -> None: ...


@contextmanager
def shown(total_bytes: int) -> Iterator[Shows]:
    """A bar on standard error for files of this size in all, if it is a terminal and standard output is not."""
    if total_bytes < SHOWN_FROM_BYTES or not sys.stderr.isatty() or sys.stdout.isatty():
        yield _show_nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("csv2vw", total=total_bytes)
        yield lambda done_bytes: progress.update(task, completed=done_bytes)


def read_bytes(stream: BinaryIO) -> int:
    """How much of a file has been read, as it lies there."""
    consumed = getattr(stream, "consumed_bytes", None)
    if isinstance(consumed, int):
        return consumed
    return stream.tell() if hasattr(stream, "tell") and stream.seekable() else 0


def _show_nothing(done_bytes: int, /) -> None:
    """Takes the place of a bar."""
