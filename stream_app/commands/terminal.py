"""Where tables go: as wide as the terminal, or as wide as they are where something else reads them."""

import sys

from rich.console import Console

WIDE = 1_000


def console(is_aside: bool = False) -> Console:
    """Of standard output, or of standard error."""
    is_seen = (sys.stderr if is_aside else sys.stdout).isatty()
    return Console(stderr=is_aside, width=None if is_seen else WIDE)
