"""The modern reader: CSV as RFC 4180 has it, columns by name, to VW text or JSON events. Knows no spelling of options.

Rows go through in blocks, column by column; a block with anything irregular in it goes through row by row, and gives
the same lines.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tools.csv2vw_parts.bad_rows import BadRows
from tools.csv2vw_parts.binary_labels import BinaryLabels
from tools.csv2vw_parts.errors import BadRow, ConversionStopped
from tools.csv2vw_parts.heads import ClassLabels, Heads, LabelRule, NamedLabels
from tools.csv2vw_parts.label_map import LabelMap, locked
from tools.csv2vw_parts.layout import Layout, layout_of
from tools.csv2vw_parts.lines import STDIN, check_paths
from tools.csv2vw_parts.misplaced_quotes import ADVICE
from tools.csv2vw_parts.modern_options import Options, parsed
from tools.csv2vw_parts.reading_progress import Shows, read_bytes, shown
from tools.csv2vw_parts.row_cells import Cells, Dialect, Row, blocks
from tools.csv2vw_parts.row_cells import parsed as parsed_row
from tools.csv2vw_parts.row_chunks import RowChunk, chunks, first_row, opened, row_encoding, size_bytes
from tools.csv2vw_parts.written_lines import JsonLines, Lines, VwLines

HELD_BYTES = 16 << 20
"""Read at most before the second label of --binary must have come."""
TABULATED = (".tsv", ".tab")
PACKED = (".gz", ".zst")


class Piece(NamedTuple):
    """Whole rows of a file."""

    path: str
    dialect: Dialect
    chunk: RowChunk


def run(arguments: list[str]) -> Iterator[bytes]:
    """Yield the lines for the files, or standard input. Raises ConversionStopped with the exit code."""
    options = parsed(arguments)
    paths = options.files or [STDIN]
    check_paths(paths)
    bad = BadRows(options.skips_bad)
    with ExitStack() as opened_all:
        opened_all.enter_context(locked(options.label_map))
        shows = opened_all.enter_context(shown(size_bytes(paths)))
        if options.schema is not None:
            from tools.csv2vw_parts.schema_lines import SchemaLines  # loads Weir

            yield from SchemaLines(options, bad).convert(paths)
        else:
            yield from Conversion(options, bad, shows).convert(paths)
    bad.tell()


def separator_of(path: str, given: str | None) -> str:
    """What stands between the cells of a file: as given, else as its name says."""
    if given is not None:
        return given
    name = Path(path.lower())
    name = name.with_suffix("") if name.suffix in PACKED else name
    return "\t" if name.suffix in TABULATED else ","


def dialect_of(path: str, options: Options) -> Dialect:
    """How a file is cut. Tab-separated values have no quotes (IANA, text/tab-separated-values), unless asked for."""
    separator = separator_of(path, options.separator)
    has_quotes = separator != "\t" if options.has_quotes is None else options.has_quotes
    return Dialect(separator, row_encoding(options.encoding), has_quotes)


class Conversion:
    """The state of a run over all its files: the columns, which the first file names, and the labels known."""

    def __init__(self, options: Options, bad: BadRows, shows: Shows) -> None:
        self._options = options
        self._bad = bad
        self._shows = shows
        self._known = LabelMap(options.label_map, options.is_binary)
        self._layout: Layout | None = None
        self._lines: Lines

    def convert(self, paths: list[str]) -> Iterator[bytes]:
        """Yield the lines, many at once. Raises ConversionStopped."""
        pieces = self._pieces(paths)
        rule: LabelRule = ClassLabels(self._known)
        if self._options.label_names:
            rule = NamedLabels(self._options.label_names)
        elif self._options.is_binary:
            rule = labels = BinaryLabels(self._known, self._options.missing_values)
            pieces = self._settled(pieces, labels)
        for piece in pieces:
            for text in self._converted(piece, rule):
                self._known.save()
                yield text
            sys.stdout.flush()

    def _pieces(self, paths: list[str]) -> Iterator[Piece]:
        """The data rows of all files; the first one's header, or the width of its first row, is the layout."""
        options, done_bytes = self._options, 0
        for path in paths:
            dialect = dialect_of(path, options)
            with opened(path, options.encoding) as stream:
                has_header = options.has_header
                for chunk in chunks(stream, dialect.has_quotes):
                    if self._layout is None or has_header:
                        row, rest = first_row(chunk, dialect.has_quotes)
                        if not row:
                            continue
                        self._take_header(path, chunk, parsed_header(path, chunk, row, dialect))
                        chunk = rest if has_header else chunk
                        has_header = False
                    self._shows(done_bytes + read_bytes(stream))
                    yield Piece(path, dialect, chunk)
                done_bytes += read_bytes(stream)

    def _take_header(self, path: str, chunk: RowChunk, cells: list[str]) -> None:
        if self._layout is None:
            self._layout = layout_of(cells, self._options)
            if self._options.is_verbose:
                sys.stderr.write(f"csv2vw: {path}: {self._layout.told()}\n")
        elif cells != self._layout.header:
            expected = ", ".join(self._layout.header)
            message = f"csv2vw: {path}:{chunk.line}: another header than that of the first file, which is: {expected}"
            raise ConversionStopped(message, 1)

    def _settled(self, pieces: Iterator[Piece], labels: BinaryLabels) -> Iterator[Piece]:
        """The same pieces, once both labels are known: until then they are held back."""
        held: list[Piece] = []
        held_bytes = 0
        for piece in pieces:
            held.append(piece)
            held_bytes += len(piece.chunk.data)
            labels.settle(self._labels_in(piece))
            if labels.is_settled:
                break
            if held_bytes > HELD_BYTES:
                message = f"csv2vw: --binary: no second label within {HELD_BYTES:,} bytes; name both with --labels"
                raise ConversionStopped(message, 1)
        else:
            labels.end()
        return chain(held, pieces)

    def _labels_in(self, piece: Piece) -> Iterator[str]:
        layout = self._laid_out()
        if layout.label is None or piece.chunk.fault:
            return
        for block in blocks(piece.chunk, piece.dialect, len(layout.names)):
            if block.regular is not None:
                yield from block.regular.cells[layout.label :: block.regular.period]
                continue
            for row in block.singly:
                if len(row.cells) == len(layout.names):
                    yield row.cells[layout.label]

    def _laid_out(self) -> Layout:
        if self._layout is None:
            raise ConversionStopped("csv2vw: rows came before their header")
        return self._layout

    def _converted(self, piece: Piece, rule: LabelRule) -> Iterator[bytes]:
        layout, options = self._laid_out(), self._options
        if not hasattr(self, "_lines"):
            heads = Heads(rule, options.missing_values, layout.has_native_label)
            self._lines = (JsonLines if options.is_json else VwLines)(layout, heads, options)
        if piece.chunk.fault:
            self._bad.add(piece.path, piece.chunk.line, f"{piece.chunk.fault}; {ADVICE}")
            return
        for block in blocks(piece.chunk, piece.dialect, len(layout.names)):
            if block.regular is not None:
                try:
                    text = self._lines.block(block.regular)
                except BadRow:
                    pass  # which row it is, comes out row by row
                else:
                    yield text
                    continue
            for row in block.singly:
                yield self._row(piece.path, row, len(layout.names))

    def _row(self, path: str, row: Row, width: int) -> bytes:
        """The line of one row; nothing for a bad one that is passed over."""
        try:
            if row.fault:
                raise BadRow(row.fault)
            if len(row.cells) != width:
                raise BadRow(_wrong_width(row, width))
            return self._lines.block(Cells(row.cells, width, 1))
        except BadRow as error:
            self._bad.add(path, row.line, str(error))
            return b""


def parsed_header(path: str, chunk: RowChunk, row: bytes, dialect: Dialect) -> list[str]:
    """The cells of a first row. Raises ConversionStopped (1)."""
    try:
        if chunk.fault:
            raise BadRow(f"{chunk.fault}; {ADVICE}")
        return parsed_row(row, dialect, chunk.line)
    except BadRow as error:
        raise ConversionStopped(f"csv2vw: {path}:{chunk.line}: {error}", 1) from error


def _wrong_width(row: Row, width: int) -> str:
    reason = f"row has {len(row.cells)} cells, but there are {width} columns"
    more_lines = sum(cell.count("\n") for cell in row.cells)
    if not more_lines:
        return reason
    return f"{reason}; quotes hold lines {row.line} to {row.line + more_lines} together in it; {ADVICE}"
