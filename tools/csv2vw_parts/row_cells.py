"""Whole rows to cells: many rows at once where they are regular, else one by one. Knows no meaning of a cell."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from tools.csv2vw_parts.errors import BadRow
from tools.csv2vw_parts.row_chunks import MAX_ROW_BYTES, RowChunk, rows

BLOCK_CELLS = 1 << 13
"""Cells converted at once: few enough to stay in the processor's cache."""


class Dialect(NamedTuple):
    """How the bytes of a file are cut."""

    separator: str
    encoding: str


class Cells(NamedTuple):
    """Rows of equal width, one after the other: the cells of column i are `cells[i::period]`."""

    cells: Sequence[str]
    period: int
    rows: int


class Row(NamedTuple):
    """One row: its cells, or why it has none, and the line that it begins on."""

    line: int
    cells: Sequence[str]
    fault: str = ""


class Block(NamedTuple):
    """Some rows of a chunk. `regular` holds all of them if they are regular; `singly` gives them one by one."""

    regular: Cells | None
    singly: Iterator[Row]


def blocks(chunk: RowChunk, dialect: Dialect, width: int) -> Iterator[Block]:
    """Yield the rows of a chunk, in blocks. What is regular is faster and nothing else."""
    try:
        text = chunk.data.decode(dialect.encoding).removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = "\r"
    if '"' in text:
        quoted = _quoted_rows(text, dialect.separator)
        if quoted is not None:
            yield from _blocks_of_cells(quoted, chunk.line, width)
            return
    else:
        text = text.replace("\r\n", "\n") if "\r" in text else text
        if "\r" not in text:
            yield from _blocks_of_lines(text.split("\n"), chunk.line, dialect.separator, width)
            return
    yield Block(None, _rows_singly(chunk, dialect))


def parsed(row: bytes, dialect: Dialect) -> list[str]:
    """The cells of one row. Raises BadRow for bytes, quotes and line ends that do not belong there."""
    try:
        text = row.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        bad = row[error.start : error.start + 8]
        raise BadRow(f"not {dialect.encoding} at byte {error.start}: {bad!r}; --encoding names another") from error
    if '"' not in text:
        if "\r" in text:
            raise BadRow(f"a carriage return within {text[:60]!r}")
        return text.split(dialect.separator)
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        return next(csv.reader([text], delimiter=dialect.separator, strict=True))
    except csv.Error as error:
        raise BadRow(f"not a CSV row: {error}: {text[:60]!r}") from error


def _blocks_of_lines(lines: list[str], first: int, separator: str, width: int) -> Iterator[Block]:
    height = max(2, BLOCK_CELLS // width)
    between = f"{separator}\n{separator}"
    for start in range(0, len(lines), height):
        some = lines[start : start + height]
        cells = between.join(some).split(separator)
        cells.append("\n")
        period = width + 1
        is_whole = len(cells) == period * len(some) and cells[width::period].count("\n") == len(some)
        is_regular = is_whole and (width > 1 or "" not in some)
        regular = Cells(cells, period, len(some)) if is_regular else None
        yield Block(regular, _lines_singly(some, first + start, separator))


def _blocks_of_cells(parsed_rows: list[list[str]], first: int, width: int) -> Iterator[Block]:
    height = max(2, BLOCK_CELLS // width)
    for start in range(0, len(parsed_rows), height):
        some = parsed_rows[start : start + height]
        is_regular = set(map(len, some)) == {width}
        regular = Cells(list(chain.from_iterable(some)), width, len(some)) if is_regular else None
        yield Block(regular, _cells_singly(parsed_rows, start, start + height, first))


def _lines_singly(lines: list[str], first: int, separator: str) -> Iterator[Row]:
    for number, line in enumerate(lines, first):
        if line:
            yield Row(number, line.split(separator))


def _cells_singly(parsed_rows: list[list[str]], start: int, end: int, first: int) -> Iterator[Row]:
    line = first
    for number, cells in enumerate(parsed_rows[:end]):
        if cells and number >= start:
            yield Row(line, cells)
        line += 1 + sum(cell.count("\n") for cell in cells)


def _rows_singly(chunk: RowChunk, dialect: Dialect) -> Iterator[Row]:
    for line, row in rows(chunk):
        try:
            yield Row(line, parsed(row, dialect))
        except BadRow as error:
            yield Row(line, [], str(error))


def _quoted_rows(text: str, separator: str) -> list[list[str]] | None:
    """All rows of a text with quotes, empty ones too; None unless every quote opens, doubles or closes a cell."""
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        found = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error:
        return None
    has_quotes_left = '"' in "".join(map("".join, found))
    return None if has_quotes_left and not _is_sound(text, separator) else found


def _is_sound(text: str, separator: str) -> bool:
    """Whether outside quotes each piece of text begins and ends where a cell does: no quote stands within a cell."""
    pieces = text.split('"')
    first, last = pieces[0], pieces[-1]
    between = list(filter(None, pieces[2:-1:2]))
    before, after = {separator, "\n"}, {separator, "\n", "\r"}
    if len(pieces) % 2 == 0 or (first and first[-1] not in before) or (last and last[0] not in after):
        return False
    return before.issuperset(map(itemgetter(-1), between)) and after.issuperset(map(itemgetter(0), between))
