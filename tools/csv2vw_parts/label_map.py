"""The numbers of text labels, kept in a JSON file from run to run: `{"setosa": 1, "versicolor": 2}`."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checkpoints.durable import sync_folder
from tools.csv2vw_parts.errors import ConversionStopped


class LabelMap:
    """The labels known so far. `save` is atomic and durable: the file holds the old labels or all of the new ones."""

    def __init__(self, path: str | None, is_binary: bool) -> None:
        self._path = None if path is None else Path(path)
        self.numbers: dict[str, int] = {}
        self._saved = 0
        if self._path is not None and self._path.exists():
            self.numbers = _read(self._path, is_binary)
            self._saved = len(self.numbers)
        self._highest = max(self.numbers.values(), default=0)

    def add(self, label: str) -> int:
        """The number of this label: the next one, if it is new."""
        if label not in self.numbers:
            self._highest += 1
            self.numbers[label] = self._highest
        return self.numbers[label]

    def save(self) -> None:
        """Write what is new, before any line that uses it is written. Raises ConversionStopped (1)."""
        if self._path is None or len(self.numbers) == self._saved:
            return
        aside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with aside.open("w", encoding="utf-8") as file:
                json.dump(self.numbers, file, ensure_ascii=False, indent=0)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise ConversionStopped(f"csv2vw: --label-map {str(self._path)!r}: {error.strerror}", 1) from error
        self._saved = len(self.numbers)


@contextmanager
def locked(path: str | None) -> Iterator[None]:
    """Hold the map for one run, by a lock file beside it: two runs would give one number to two labels."""
    if path is None:
        yield
        return
    try:
        file = Path(path + ".lock").open("a")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ConversionStopped(f"csv2vw: --label-map {path!r}: cannot write beside it: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConversionStopped(f"csv2vw: --label-map {path!r}: another csv2vw is using it; wait for it") from error
        yield


def _read(path: Path, is_binary: bool) -> dict[str, int]:
    wanted = "two labels at most, -1 and 1" if is_binary else "an object of labels and whole numbers from 1, each once"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConversionStopped(f"csv2vw: --label-map {str(path)!r}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConversionStopped(f"csv2vw: --label-map {str(path)!r}: not JSON: {error}") from error
    numbers = list(found.values()) if isinstance(found, dict) else [None]
    is_whole = all(type(value) is int and (value in (-1, 1) if is_binary else value >= 1) for value in numbers)
    if not is_whole or len(set(numbers)) != len(numbers):
        raise ConversionStopped(f"csv2vw: --label-map {str(path)!r}: expected {wanted}")
    return dict(found)
