"""The state of a Vowpal Wabbit learner as bytes. The binding reads and writes files only: these lie in memory."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pylibvw

from learners.vw_console import VWLog

_MODEL_DIR = "/dev/shm"


def state_of(vw: Any) -> bytes:
    """VW's own model file."""
    with _model_path() as path:
        vw.save(str(path))
        return path.read_bytes()


@contextmanager
def model_file(state: bytes) -> Iterator[Path]:
    """The state as a file, for as long as the block takes."""
    with _model_path() as path:
        path.write_bytes(state)
        yield path


def copy_of(vw: Any, command: Sequence[str], log: VWLog) -> Any:
    """Another VW with the same state; `command` is what that one was made with."""
    with _model_path() as path:
        vw.save(str(path))
        return pylibvw.vw([*command, "-i", str(path)], log.binding)


def readable(state: bytes, command: Sequence[str]) -> str:
    """VW's own readable model: written by another VW that has the same state and learns nothing."""
    with model_file(state) as path:
        written = path.with_name("readable")
        extra = ["--preserve_performance_counters", "-i", str(path), "--readable_model", str(written)]
        pylibvw.vw([*command, *extra], VWLog(None).binding).finish()
        return written.read_text(errors="surrogateescape")


@contextmanager
def _model_path() -> Iterator[Path]:
    folder = _MODEL_DIR if os.access(_MODEL_DIR, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made, "model")
