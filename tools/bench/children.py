"""Starts the processes that are measured, and sees to it that none is left. Knows not what they measure."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tools.bench.row import BenchError

TIMEOUT_S = 3600.0
END_S = 20.0


def in_child(function: str, **arguments: str | float) -> Any:
    """What `MODULE:FUNCTION` of this package returns in a fresh process. Raises BenchError with what it said."""
    ran = subprocess.run(_command(function, arguments), capture_output=True, timeout=TIMEOUT_S, check=False)
    if ran.returncode:
        raise BenchError(f"{function} failed: {ran.stderr.decode(errors='replace')[-2000:]}")
    return orjson.loads(ran.stdout.splitlines()[-1])


@contextmanager
def child(function: str, **arguments: str | float) -> Iterator[Any]:
    """A process that goes on: what it tells first. At the end it is asked to stop, and killed if it does not."""
    process = subprocess.Popen(_command(function, arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield _told(process, function)
        process.terminate()
        process.wait(END_S)
    finally:
        _end(process)


@contextmanager
def killed(function: str, **arguments: str | float) -> Iterator[Any]:
    """The same, ended by kill -9."""
    process = subprocess.Popen(_command(function, arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield _told(process, function)
    finally:
        _end(process)


def _command(function: str, arguments: dict[str, str | float]) -> list[str]:
    return [sys.executable, "-m", "tools.bench.child", function, orjson.dumps(arguments).decode()]


def _told(process: subprocess.Popen[bytes], function: str) -> Any:
    line = process.stdout.readline() if process.stdout is not None else b""
    if not line:
        raise BenchError(f"{function} ended before it said anything")
    return orjson.loads(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
