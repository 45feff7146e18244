"""Who owns a directory: one process at a time, told to whoever comes second. Knows nothing of what lies in it."""

import fcntl
import os
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stream_app.sources.source import SourceHeld


class Owner(msgspec.Struct, frozen=True):
    """The content of an OWNER file, for people and for the message of SourceHeld."""

    pid: int
    command: str
    since: str


def hold(path: Path) -> int:
    """Become the owner; returns the descriptor whose closing gives it up, as any end of this process does.

    Raises SourceHeld, with pid and command of the owner, when another one lives.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise SourceHeld(
            f"{path.parent} is in use by {_describe(path)}: stop it, or send events to its HTTP address"
        ) from error
    _write(descriptor)
    return descriptor


def _write(descriptor: int) -> None:
    owner = Owner(os.getpid(), shlex.join(sys.orig_argv), datetime.now(UTC).isoformat(timespec="seconds"))
    os.ftruncate(descriptor, 0)
    try:
        os.pwrite(descriptor, msgspec.json.encode(owner) + b"\n", 0)
    except OSError:
        os.close(descriptor)
        raise


def _describe(path: Path) -> str:
    for _ in range(20):  # the owner may be between taking the lock and writing who it is
        try:
            owner = msgspec.json.decode(path.read_bytes(), type=Owner)
        except msgspec.DecodeError:
            time.sleep(0.01)
        else:
            return f"process {owner.pid} ({owner.command}) since {owner.since}"
    return "another process"
