"""Figures over time, for charts: bounded for ever, by thinning out what is old together with what is new."""

from collections.abc import Mapping, Sequence

MOST_ROWS = 2_048
MOST_COLUMNS = 64


class Series:
    """Rows of figures at equal distances. Where MOST_ROWS are there, every second one goes, and the distance doubles.

    So all of the time since the start is shown, in at least half as many rows, at any age. A figure that is new gets
    a column of its own, behind the others; older rows are shorter.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.step = 1
        """How many calls of `add` make a row."""
        self._rows: list[list[float | None]] = []
        self._calls = 0

    def add(self, at: float, figures: Mapping[str, float | None]) -> list[float | None]:
        """The figures at a time, Unix seconds, as a row, which may be kept. Figures that are not there are None."""
        self.columns += [name for name in figures if name not in self.columns][: MOST_COLUMNS - len(self.columns)]
        row = [round(at, 3), *[_short(figures.get(name)) for name in self.columns]]
        if self._calls % self.step == 0:
            self._rows.append(row)
        self._calls += 1
        if len(self._rows) >= MOST_ROWS:
            self._rows = self._rows[::2]
            self.step *= 2
        return row

    def rows(self) -> list[list[float | None]]:
        """Time and figures, oldest first."""
        return list(self._rows)


def _short(value: float | None) -> float | None:
    """Six digits: charts show no more, and a page loads two thousand of each."""
    return None if value is None else float(f"{value:.6g}")
