"""Rows that could not become lines: told of one by one, up to a bound, and counted. Knows not what was wrong."""

import sys

from tools.csv2vw_parts.errors import ConversionStopped

TOLD = 20
"""Rows told of one by one."""


class BadRows:
    """Counts bad rows; the first one ends the run unless they are to be skipped."""

    def __init__(self, are_skipped: bool) -> None:
        self._are_skipped = are_skipped
        self._count = 0

    def add(self, path: str, line: int, reason: str) -> None:
        """One more. Raises ConversionStopped (1) where the first bad row ends the run."""
        text = f"csv2vw: {path}:{line}: {_in_one_line(reason)}"
        if not self._are_skipped:
            raise ConversionStopped(f"{text} (--skip-bad passes over bad rows)", 1)
        self._count += 1
        if self._count <= TOLD:
            sys.stderr.write(text + "\n")
        elif self._count == TOLD + 1:
            sys.stderr.write("csv2vw: further bad rows are only counted\n")

    def tell(self) -> None:
        """How many there were, at the end."""
        if self._count:
            sys.stderr.write(f"csv2vw: {self._count:,} bad row{'s' if self._count > 1 else ''} skipped\n")


def _in_one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
