"""How tests run csv2vw: arguments, and files by name, to exit code and both outputs."""

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
