"""What a bounded run writes: no file of it may be one that it reads. Opens none of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_app.settings import ConfigError


def check_outputs(inputs: Sequence[str], outputs: Mapping[str, str]) -> None:
    """Raises ConfigError for an output, by its option, that is the same file as an input, by whatever name."""
    for option, output in outputs.items():
        for name in inputs:
            if _is_same(name, output):
                raise ConfigError(f"{option} {output}: is the same file as {name}, which is read; name another one")


def _is_same(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return Path(one).resolve() == Path(other).resolve()
