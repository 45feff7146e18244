"""Figures over time, for charts: bounded for ever, by thinning out what is old. Knows not what they mean."""

from collections.abc import Mapping, Sequence, Set

MOST_ROWS = 3_072
MOST_COLUMNS = 64
STEP_S = 3_600.0
BEHIND = 600
"""So many rows of a clock that was set back by more than STEP_S are held back: it may have been a moment's mistake."""

RESOLUTION = 160
"""Old rows stand apart by this part of their age: those of an hour ago by 22 seconds, where one came each second."""

Row = list[float | None]


class Series:
    """Rows of figures, one a call: of the last minutes all of them, of earlier times fewer and fewer.

    Where MOST_ROWS are there, they are thinned to the RESOLUTION of their age, which leaves some 2,400 of ten years. A
    figure that is new gets a column of its own, behind the others; older rows are shorter. Where there is no room for
    it, `extra` columns of figures that are no longer there go.
    """

    def __init__(self, columns: Sequence[str], extra: Sequence[str] = ()) -> None:
        self._own = len(columns)
        self.columns = [*columns, *extra][:MOST_COLUMNS]
        self.behind = 0
        """Rows held back, one after the other, as their clock is far behind that of the row before."""
        self.rows: list[Row] = []
        """Time and figures, oldest first."""
        self.numbers: list[int] = []
        """Of the same rows, the how-manieth call each was."""

    def add(self, at: float, figures: Mapping[str, float | None]) -> Row:
        """The figures at a time, Unix seconds, as a row. Figures that are not there are None.

        Rows of a time yet to come go: the clock was set back.
        """
        at = round(at, 3)
        self._make_room(figures)
        self.behind = self.behind + 1 if self.rows and (self.rows[-1][0] or 0.0) > at + STEP_S else 0
        if self.behind > BEHIND:
            self.behind = 0
        if self.behind:
            return self._row(at, figures)
        while self.rows and (self.rows[-1][0] or 0.0) > at:
            self.rows.pop()
            self.numbers.pop()
        row = self._row(at, figures)
        self.append(self.numbers[-1] + 1 if self.numbers else 0, row)
        return row

    def append(self, number: int, row: Row) -> None:
        """A row, made by a later call than all others."""
        self.numbers.append(number)
        self.rows.append(row)
        if len(self.rows) >= MOST_ROWS:
            self._thin()

    def _row(self, at: float, figures: Mapping[str, float | None]) -> Row:
        return [at, *[_short(figures.get(name)) for name in self.columns]]

    def _make_room(self, figures: Mapping[str, float | None]) -> None:
        new = [name for name in figures if name not in self.columns]
        if len(self.columns) + len(new) > MOST_COLUMNS:
            kept = [place for place, name in enumerate(self.columns) if place < self._own or name in figures]
            self.columns = [self.columns[place] for place in kept]
            self.rows = [[row[0], *[row[1 + place] for place in kept if 1 + place < len(row)]] for row in self.rows]
        self.columns += new[: MOST_COLUMNS - len(self.columns)]

    def _thin(self) -> None:
        gaps = {place for place, row in enumerate(self.rows) if not any(figure is not None for figure in row[1:])}
        resolution, kept = RESOLUTION, list(range(len(self.rows)))
        while len(kept) > MOST_ROWS * 7 // 8:
            kept = _kept(self.numbers, gaps, resolution)
            resolution //= 2
        self.rows = [self.rows[index] for index in kept]
        self.numbers = [self.numbers[index] for index in kept]


def _kept(numbers: Sequence[int], gaps: Set[int], resolution: int) -> list[int]:
    """The places of those that stay. The calls are their clock: one that is set back cannot do any harm.

    Of rows without figures, one stays between any two that stay: there the line ends.
    """
    newest = later = numbers[-1]
    kept: list[int] = []
    gap: int | None = None
    for index in range(len(numbers) - 1, -1, -1):
        if index in gaps:
            gap = index
        elif not kept or (later - numbers[index]) * resolution >= newest - numbers[index]:
            kept += [index] if gap is None else [gap, index]
            gap = None
            later = numbers[index]
    return kept[::-1]


def _short(value: float | None) -> float | None:
    """Six digits: charts show no more, and a page loads thousands of them."""
    return None if value is None else float(f"{value:.6g}")
