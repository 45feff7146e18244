"""Figures over time in a file, so that charts go on after a restart. Knows not what they mean."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from checkpoints.durable import read_bounded, replace
from stream_app.series import MOST_COLUMNS, Row, Series

log = logging.getLogger(__name__)


_MOST_BYTES = 16 << 20
_NOWHERE = 1 << 20
_MOST_SKIPPED = 60


class _Head(msgspec.Struct, frozen=True):
    columns: list[str]


class SeriesFile:
    """A series whose rows are there again after kill -9; a power cut may take the last ones, as nothing is fsynced.

    One writer. Where the disk takes nothing, the rows are in memory alone until it does again: it is tried with the
    next row, then after 1, 2, 4 … 60 more, as all of them are encoded for that. What was written with other columns is
    brought under the present ones; between it and the rows to come stands one without figures.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self.series = _read(path, columns)
        self._written: list[str] | None = None  # the columns in the file; None where it is to be written anew
        self._failures = 0
        self._to_skip = 0

    def add(self, at: float, figures: Mapping[str, float | None]) -> Row:
        """See Series.add; the row is written before this returns."""
        series, before = self.series, len(self.series.rows)
        row = series.add(at, figures)
        if series.behind and self._written == series.columns:
            return row
        if self._to_skip:
            self._to_skip -= 1
            return row
        is_thinned = len(series.rows) <= before
        try:
            self._write_all() if is_thinned or self._written != series.columns else self._append()
        except OSError as error:
            self._written = None
            if not self._failures:
                log.error("figures over time cannot be written to %s, tried again: %s", self._path, error)
            self._to_skip = min(1 << min(self._failures, 7) >> 1, _MOST_SKIPPED)
            self._failures += 1
        else:
            if self._failures:
                log.warning("figures over time are written to %s again", self._path)
            self._failures = 0
        return row

    def _append(self) -> None:
        with self._path.open("ab") as file:
            file.write(_line(self.series.numbers[-1], self.series.rows[-1]))

    def _write_all(self) -> None:
        series = self.series
        lines = map(_line, series.numbers, series.rows)
        replace(self._path, b"".join([msgspec.json.encode(_Head(series.columns)), b"\n", *lines]))
        self._written = list(series.columns)


def _line(number: int, row: Row) -> bytes:
    return msgspec.json.encode([number, *row]) + b"\n"


def _read(path: Path, columns: Sequence[str]) -> Series:
    """What the file holds, under the columns, and behind them those of its own that have figures."""
    written, lines = _lines(path)
    places = {name: place for place, name in enumerate(written, 2)}
    used = {place for line in lines for place, figure in enumerate(line) if figure is not None}
    others = [name for name, place in places.items() if name not in columns and place in used]
    series = Series(columns, others[-(MOST_COLUMNS - len(columns)) :])
    from_ = [places.get(name, _NOWHERE) for name in series.columns]
    for number, line in enumerate(lines):
        row = [line[1], *[line[place] if place < len(line) else None for place in from_]]
        series.append(max(int(line[0] or 0), series.numbers[-1] + 1 if number else 0), row)
    if lines:
        series.append(series.numbers[-1] + 1, [lines[-1][1], *[None] * len(from_)])
    return series


def _lines(path: Path) -> tuple[list[str], list[Row]]:
    """The columns, and number, time and figures of each row; nothing where there is no such file."""
    columns: list[str] = []
    rows: list[Row] = []
    try:
        lines = read_bounded(path, _MOST_BYTES).splitlines()
    except FileNotFoundError:
        return columns, rows
    except (OSError, ValueError) as error:
        log.warning("figures over time begin anew: %s: %s", path, error)
        return columns, rows
    for line in lines:
        try:
            found = msgspec.json.decode(line, type=_Head | Row)
        except ValueError:
            continue  # torn by a kill, or damaged: one row less
        if isinstance(found, _Head):
            columns = found.columns
        elif len(found) >= 2 and found[0] is not None and found[1] is not None:
            rows.append(found)
    return columns, rows
