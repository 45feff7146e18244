"""Files that survive a power cut: written whole and flushed, or not there. Knows no checkpoint."""

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.01


def write_new(path: Path, data: bytes) -> None:
    """Create `path` with `data`, flushed to the medium. Raises FileExistsError and other OSErrors."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Have `path` hold `data`: after kill -9 it holds that or what it held before. Not flushed: see `write_new`.

    Raises OSError, and leaves nothing of `data` on a disk that is full. One writer.
    """
    aside = path.with_suffix(".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Flush which names a folder holds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create `path` and the folders above it that are missing, durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        return
    sync_folder(path.parent)


def read_bounded(path: Path, at_most: int) -> bytes:
    """The bytes of a regular file. Raises ValueError, having read nothing, for another kind or a larger one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is not a regular file")
        if found.st_size > at_most:
            raise ValueError(f"has length {found.st_size}, expected at most {at_most}")
        parts = []
        missing = found.st_size
        while missing > 0 and (part := os.read(descriptor, missing)):
            parts.append(part)
            missing -= len(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


def remove_all(path: Path) -> None:
    """Remove what `path` names, a file or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def exclusive(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file at `path`, against threads and processes; the kernel frees it when the holder dies.

    Raises TimeoutError when it is not free within `wait_s` seconds.
    """
    deadline_s = time.monotonic() + wait_s
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _is_locked(descriptor):
            if time.monotonic() >= deadline_s:
                raise TimeoutError(f"another writer has held {path} for {wait_s:g} s; `lslocks` names its process")
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # explicitly: a forked child may still hold the descriptor
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
