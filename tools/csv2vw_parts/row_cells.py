"""Whole rows to cells: many rows at once where they are regular, else one by one. Knows no meaning of a cell."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import NamedTuple

from formats.lines import MAX_ROW_BYTES
from tools.csv2vw_parts.errors import BadRow
from tools.csv2vw_parts.misplaced_quotes import ADVICE, misplaced
from tools.csv2vw_parts.row_chunks import RowChunk, rows

BLOCK_CELLS = 1 << 13
"""Cells converted at once: few enough to stay in the processor's cache."""


class Dialect(NamedTuple):
    """How the bytes of a file are cut."""

    separator: str
    encoding: str
    has_quotes: bool
    """As RFC 4180 has them; otherwise a quote is text like any other."""


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
        text = chunk.data.decode(dialect.encoding)
    except UnicodeDecodeError:
        yield Block(None, _rows_singly(chunk, dialect))
        return
    if dialect.has_quotes and '"' in text:
        yield from _quoted_blocks(text, chunk, dialect, width)
        return
    text = text.removesuffix("\n").removesuffix("\r")
    text = text.replace("\r\n", "\n") if "\r" in text else text
    if "\r" in text:
        yield Block(None, _rows_singly(chunk, dialect))
    else:
        yield from _plain_blocks(text.split("\n"), chunk.line, dialect.separator, width)


def parsed(row: bytes, dialect: Dialect, line: int) -> list[str]:
    """The cells of one row, which begins on this line. Raises BadRow for bytes, quotes and line ends out of place."""
    try:
        text = row.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        bad = row[error.start : error.start + 8]
        raise BadRow(f"not {dialect.encoding} at byte {error.start}: {bad!r}; --encoding names another") from error
    if not dialect.has_quotes or '"' not in text:
        if "\r" in text:
            raise BadRow(f"a carriage return within {text[:60]!r}")
        return text.split(dialect.separator)
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        return next(csv.reader([text], delimiter=dialect.separator, strict=True))
    except csv.Error as error:
        raise BadRow(f"{misplaced(text, dialect.separator, line)}; {ADVICE}") from error


def _plain_blocks(lines: list[str], first: int, separator: str, width: int) -> Iterator[Block]:
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


def _quoted_blocks(text: str, chunk: RowChunk, dialect: Dialect, width: int) -> Iterator[Block]:
    """The reader of the standard library finds the same rows as `rows` while every quote opens, doubles or closes a
    cell; from the first block on of which that is not certain, rows come one by one."""
    csv.field_size_limit(MAX_ROW_BYTES)
    height = max(2, BLOCK_CELLS // width)
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=dialect.separator, strict=True)
    line = given = 0
    is_sound = False
    while True:
        try:
            some = list(islice(reader, height))
        except csv.Error:
            break
        if not some:
            return
        cells = list(chain.from_iterable(some))
        if not is_sound and '"' in "".join(cells):
            is_sound = _is_sound(text, dialect.separator)
            if not is_sound:
                break
        is_regular = set(map(len, some)) == {width}
        regular = Cells(cells, width, len(some)) if is_regular else None
        yield Block(regular, _cells_singly(some, chunk.line + line))
        line = reader.line_num
        given += sum(map(bool, some))
    yield Block(None, islice(_rows_singly(chunk, dialect), given, None))


def _lines_singly(lines: list[str], first: int, separator: str) -> Iterator[Row]:
    for number, line in enumerate(lines, first):
        if line:
            yield Row(number, line.split(separator))


def _cells_singly(some: list[list[str]], first: int) -> Iterator[Row]:
    line = first
    for cells in some:
        if cells:
            yield Row(line, cells)
        line += 1 + sum(cell.count("\n") for cell in cells)


def _rows_singly(chunk: RowChunk, dialect: Dialect) -> Iterator[Row]:
    for line, row in rows(chunk, dialect.has_quotes):
        try:
            yield Row(line, parsed(row, dialect, line))
        except BadRow as error:
            yield Row(line, [], str(error))


def _is_sound(text: str, separator: str) -> bool:
    """Whether outside quotes each piece of text begins and ends where a cell does: no quote stands within a cell."""
    pieces = text.split('"')
    first, last = pieces[0], pieces[-1]
    between = list(filter(None, pieces[2:-1:2]))
    before, after = {separator, "\n"}, {separator, "\n", "\r"}
    if len(pieces) % 2 == 0 or (first and first[-1] not in before) or (last and last[0] not in after):
        return False
    return before.issuperset(map(itemgetter(-1), between)) and after.issuperset(map(itemgetter(0), between))
