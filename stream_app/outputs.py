"""What a bounded run writes: no file of it may be one that it reads. Opens none of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from stream_app.config import ConfigError

_NO_FILES = ("--progress", "--log_level", "--log_output", "--limit_output")


def check_outputs(inputs: Sequence[str], outputs: Mapping[str, str]) -> None:
    """Raises ConfigError for an output, by its option, that is the same file as an input, by whatever name."""
    for option, output in outputs.items():
        for name in inputs:
            if _is_same(name, output):
                raise ConfigError(f"{option} {output}: is the same file as {name}, which is read; name another one")


def reported(reports: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Of the options that VW reports by, those that may name a file, with their values.

    >>> dict(reported(["--progress", "2", "--final_regressor", "m"]))
    {'--final_regressor': 'm'}
    """
    for option, value in pairwise(reports):
        if option.startswith("-") and option not in _NO_FILES and not value.startswith("--"):
            yield option, value


def _is_same(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).resolve() == Path(other).resolve()
