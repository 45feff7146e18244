"""A writer that stops itself at its n-th system call: `interrupted_writer.py STORE ACTION SIGNAL N`.

Counted are the calls that change the file system, a write as two halves. With N = 0 it runs to its end and prints
how many calls there were.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from checkpoint_samples import noted, sample

from checkpoints.directory import DirectoryStore

COUNTED = ("mkdir", "rename", "fsync", "unlink", "rmdir")


class Interruption:
    def __init__(self, number: signal.Signals, at: int) -> None:
        self._number, self._at = number, at
        self.calls = 0

    def count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            os.kill(os.getpid(), self._number)

    def before(self, call: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(call)
        def counted(*args: object, **kwargs: object) -> object:
            self.count()
            return call(*args, **kwargs)

        return counted

    def in_the_middle_of(self, write: Callable[[int, memoryview], int]) -> Callable[[int, memoryview], int]:
        def counted(descriptor: int, data: memoryview) -> int:
            self.count()
            written = write(descriptor, data[: len(data) // 2])
            self.count()
            return written + write(descriptor, data[len(data) // 2 :])

        return counted


def main(path: str, action: str, number: str, at: str) -> None:
    store = DirectoryStore(path, wait_s=5)
    interruption = Interruption(signal.Signals[number], int(at))
    for name in COUNTED:
        setattr(os, name, interruption.before(getattr(os, name)))
    os.write = interruption.in_the_middle_of(os.write)  # type: ignore[assignment]
    if action == "prune":
        store.prune(1)
    else:
        head = store.head()
        store.save(sample(2, head), noted(2.0), head)
    Path("/dev/stdout").write_text(str(interruption.calls))


if __name__ == "__main__":
    main(*sys.argv[1:])
