"""The ends of rows: the last columns of a table often repeat together, so that one look-up finds them all."""

from collections.abc import Sequence

from tools.csv2vw_parts.columns import Features, Labels

TAILS_KEPT = 1 << 14
LONGEST_TAIL = 512
SAMPLED_ROWS = 600
NEW_AT_MOST = 5
"""A tail is worth a look-up while at most one row in five brings a new one."""


class IrregularRow(Exception):
    """A row that is narrower than the header, or ends in empty columns: for the caller to convert singly."""


class Tails(dict[str, tuple[str, str]]):
    """Text of a row from column `first` on -> (label, or "" where that column is not among them; VW text to line end).

    Raises IrregularRow for a tail whose row must be looked at as a whole. Emptied when full.
    """

    __slots__ = (
        "_columns",
        "_label",
        "_labels",
        "_missed",
        "_rows",
        "_separator",
        "first",
        "is_guess",
        "needs_new_cut",
    )

    def __init__(self, first: int, columns: Sequence[Features], labels: Labels, label: int, separator: str) -> None:
        super().__init__()
        self.first = first
        self.is_guess = False
        self.needs_new_cut = False
        self._columns = columns[first:]
        self._labels = labels
        self._label = label - first
        self._separator = separator
        self._missed = self._rows = 0

    def __missing__(self, tail: str) -> tuple[str, str]:
        self._missed += 1
        values = tail.split(self._separator)
        while values and not values[-1]:
            values.pop()
        if self._label >= len(values):
            raise IrregularRow
        label = self._labels[values[self._label]] if self._label >= 0 else ""
        features = [column[value] for column, value in zip(self._columns, values, strict=False)]
        if self._label >= 0:
            del features[self._label]
        text = "".join(features) + "\n"
        if len(self) >= TAILS_KEPT:
            self.clear()
        if len(tail) <= LONGEST_TAIL:
            self[tail] = label, text
        return label, text

    def count(self, rows: int) -> None:
        """After every few thousand rows, say in `needs_new_cut` whether the hits were too few or `first` a guess."""
        self._rows += rows
        if self._rows >= 4 * SAMPLED_ROWS:
            is_rarely_hit = len(self._columns) > 1 and self._missed * NEW_AT_MOST > self._rows
            self.needs_new_cut = self.is_guess or is_rarely_hit
            self._missed = self._rows = 0


def best_cut(lines: Sequence[str], separator: str, columns: int) -> int:
    """The first column of the longest tail that repeats often enough in these lines (the last column at the latest)."""
    sample = lines[:: len(lines) // SAMPLED_ROWS + 1]
    low, high = 0, columns - 1
    while low < high:
        middle = (low + high) // 2
        tails = {line.split(separator, middle)[-1] for line in sample}
        if len(tails) * NEW_AT_MOST <= len(sample):
            high = middle
        else:
            low = middle + 1
    return low
