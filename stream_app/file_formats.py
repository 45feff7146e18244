"""Which format files are written in: as they are said to be, else by their names. Opens none of them."""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Literal

from stream_app import config as configuration
from stream_app.settings import ConfigError
from stream_app.sources.file_stream import PACKED, ending_of

FileFormat = Literal["json", "vw", "csv", "tsv"]

BY_SUFFIX: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".vw": "vw",
    ".dat": "vw",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "json",
}
"""Rows of Parquet files are read as JSON events."""


def format_of(files: Sequence[str], config: str | None, wanted: str | None = None) -> str | None:
    """The format to read files by: `wanted`, else events.format where the settings say it, else as their names tell.

    None where only the default is left. Parquet is told by its name alone. Raises ConfigError where files differ.
    """
    if all(file.lower().endswith(".parquet") for file in files):
        if wanted not in (None, "json"):
            raise ConfigError(f"--format {wanted}: {files[0]} is Parquet, whose rows are read as json; leave it out")
        return "json"
    if any(file.lower().endswith(".parquet") for file in files) or (wanted is None and not _is_said(config)):
        found = guessed(files)
        if wanted is None and found is None:
            _check_names_tell_nothing(files)
        return wanted or found
    return wanted


def _check_names_tell_nothing(files: Sequence[str]) -> None:
    for file in files:
        if PurePath(file).suffix:
            raise ConfigError(
                f"{file}: its name does not tell the format; say --format vw, csv, tsv or json (or events.format)"
            )


def guessed(files: Sequence[str]) -> FileFormat | None:
    """The format that the names of the files tell, None where none tells any. Raises ConfigError where they differ.

    >>> guessed(["a.csv.gz", "b.CSV"]), guessed(["events"])
    ('csv', None)
    """
    found = {file: format_ for file in files if (format_ := of(file)) is not None}
    formats = sorted(set(found.values()))
    if len(formats) > 1:
        first, second = (next(file for file in found if found[file] == format_) for format_ in formats[:2])
        raise ConfigError(
            f"{first} is {formats[0]} by its name, {second} is {formats[1]}: give files of one format at a time, or "
            "say which by --format or events.format"
        )
    return formats[0] if formats else None


def of(file: str) -> FileFormat | None:
    """The format that the name of one file tells, whether it is packed or not."""
    path = PurePath(file)
    return BY_SUFFIX.get(ending_of(PurePath(path.stem) if ending_of(path) in PACKED else path))


def _is_said(config: str | None) -> bool:
    """Whether environment or settings file say events.format; what is wrong with the file, loading it tells."""
    if "WEIR_EVENTS_FORMAT" in os.environ:
        return True
    try:
        tree = tomllib.loads(Path(config or configuration.DEFAULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "format" in tree.get("events", {})
