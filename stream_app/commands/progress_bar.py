"""Bars on standard error where that is a terminal: bytes read of all, or records. Nowhere else a word."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

EVERY_S = 0.1
Tell = Callable[[int, int], None]


@contextmanager
def progress_bar(what: str) -> Iterator[Tell]:
    """Within the block, tell it how many bytes have been read, and of how many."""
    if not sys.stderr.isatty():
        yield lambda consumed, size: None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task(what, total=None)
        told_at = 0.0

        def tell(consumed: int, size: int) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= EVERY_S:
                told_at = time.monotonic()
                bar.update(task, completed=consumed, total=size or None, refresh=True)

        yield tell


@contextmanager
def records_bar(what: str) -> Iterator[Callable[[int], None]]:
    """Within the block, tell it how many further records have been passed."""
    if not sys.stderr.isatty():
        yield lambda passed: None
        return
    columns = (TextColumn(what), TextColumn("{task.completed:,.0f} records"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda passed: bar.update(task, advance=passed)
