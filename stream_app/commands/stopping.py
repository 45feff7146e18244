"""SIGINT and SIGTERM in a command that works step by step: it ends between two steps, so that nothing is torn."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click


@contextmanager
def stopping() -> Iterator[Callable[[], None]]:
    """Within the block, call what it gives between two steps: it raises click.Abort once a signal has come.

    A second signal ends the process at once.
    """
    is_asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal is_asked
        is_asked = True
        signal.signal(number, signal.SIG_DFL)

    def check() -> None:
        if is_asked:
            raise click.Abort

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
