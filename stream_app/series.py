"""Figures over time, for charts: bounded for ever, by thinning out what is old. Knows not what they mean."""

from collections.abc import Mapping, Sequence

MOST_ROWS = 3_072
MOST_COLUMNS = 64
RESOLUTION = 160
"""Old rows stand apart by this part of their age: those of an hour ago by 22 seconds, where one came each second."""

Row = list[float | None]


class Series:
    """Rows of figures, one a call: of the last minutes all of them, of earlier times fewer and fewer.

    Where MOST_ROWS are there, they are thinned to the RESOLUTION of their age, which leaves some 2,400 of ten years. A
    figure that is new gets a column of its own, behind the others; older rows are shorter.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.rows: list[Row] = []
        """Time and figures, oldest first."""
        self.numbers: list[int] = []
        """Of the same rows, the how-manieth call each was."""

    def add(self, at: float, figures: Mapping[str, float | None]) -> Row:
        """The figures at a time, Unix seconds, as a row. Figures that are not there are None.

        Rows of a time yet to come go: the clock was set back.
        """
        at = round(at, 3)
        while self.rows and (self.rows[-1][0] or 0.0) > at:
            self.rows.pop()
            self.numbers.pop()
        self.columns += [name for name in figures if name not in self.columns][: MOST_COLUMNS - len(self.columns)]
        row = [at, *[_short(figures.get(name)) for name in self.columns]]
        self.append(self.numbers[-1] + 1 if self.numbers else 0, row)
        return row

    def append(self, number: int, row: Row) -> None:
        """A row, made by a later call than all others."""
        self.numbers.append(number)
        self.rows.append(row)
        if len(self.rows) >= MOST_ROWS:
            self._thin()

    def _thin(self) -> None:
        resolution, kept = RESOLUTION, list(range(len(self.rows)))
        while len(kept) > MOST_ROWS * 7 // 8:
            kept = _kept(self.numbers, resolution)
            resolution //= 2
        self.rows = [self.rows[index] for index in kept]
        self.numbers = [self.numbers[index] for index in kept]


def _kept(numbers: Sequence[int], resolution: int) -> list[int]:
    """The places of those that stay. The calls are their clock: one that is set back cannot do any harm."""
    newest = later = numbers[-1]
    kept = []
    for index in range(len(numbers) - 1, -1, -1):
        if (later - numbers[index]) * resolution >= newest - numbers[index]:
            kept.append(index)
            later = numbers[index]
    return kept[::-1]


def _short(value: float | None) -> float | None:
    """Six digits: charts show no more, and a page loads thousands of them."""
    return None if value is None else float(f"{value:.6g}")
