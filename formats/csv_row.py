"""CSV rows: one row per payload, its columns named once by the configuration or by the first row of a file.

Rows that are plain (no quotes, as many cells as there are columns) are decoded many at once, column by column; any
other block of rows goes through `CsvRow._example`, which is the definition of what a row becomes.
"""

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from formats.example import Dead, Decoded, Example, FormatError, Label, Lines
from formats.labels import Labels
from formats.lines import BOM, QuotedRow, is_byte_wise, line_blocks, lines
from formats.mistaken import told
from formats.numbers import event_time, is_number_text, number, number_text, weight, written
from formats.schema import Schema
from formats.shape import RowPlan, Shapes, features_of
from formats.vw_text import Reads

BLOCK_ROWS = 128
"""Rows decoded at once: few enough that their cells stay in the processor's cache."""

_CACHED_HEADS = 4096

_Head = tuple[Label, float, bytes]
"""Label, weight, and what stands before the features in VW text."""


class CsvRow:
    """Decodes CSV rows. A row with too few or too many cells is dead, and says how many it has.

    `quoting` is that of RFC 4180; without it a quote is text like any other.

    `columns` may be left out where files bring a header: the first row that `split` meets then names the columns, for
    this format object, for good. Decoding before that raises FormatError for every row.
    """

    def __init__(
        self,
        labels: Labels,
        schema: Schema,
        reads: Reads = "text",
        columns: Sequence[str] = (),
        encoding: str = "utf-8",
        separator: str = ",",
        quoting: bool = True,
    ) -> None:
        if len(separator) != 1 or separator in '"\r\n':
            raise FormatError(f"separator: expected one character that is no quote or line end, got {separator!r}")
        self._labels = labels
        self._schema = schema
        self._reads = reads
        self._encoding = encoding
        self._separator = separator
        self._quoting = quoting
        self._name = "tsv" if separator == "\t" else "csv"
        self._is_byte_wise = is_byte_wise(encoding)
        self._columns: list[str] = []
        self._special: dict[str, int] = {}
        self._plan: RowPlan | None = None
        self._heads: dict[tuple[str, str], _Head] = {}
        if columns:
            self._name_columns(list(columns))

    @property
    def columns(self) -> list[str]:
        """Names of the columns; empty until they are known."""
        return self._columns

    @property
    def read_by(self) -> dict[str, object]:
        """What decides what a row means, ready for JSON."""
        return {
            "columns": list(self._columns),
            "separator": self._separator,
            "encoding": self._encoding,
            "quoting": self._quoting,
        }

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        if len(payloads) <= BLOCK_ROWS:
            return self._decode_block(payloads)
        examples: list[Example] = []
        dead: list[Dead] = []
        for first in range(0, len(payloads), BLOCK_ROWS):
            block = self._decode_block(payloads[first : first + BLOCK_ROWS])
            examples += block.examples
            dead += [Dead(first + one.index, one.reason) for one in block.dead]
        return Decoded(examples, dead)

    def split(self, stream: BinaryIO) -> Iterator[bytes]:
        """Rows without their line ends; a quoted cell may span lines. A first row equal to the columns is a header.

        Raises FormatError for a header that names other columns, or the same in another order.
        """
        rows = _rows(stream) if self._quoting else lines(stream)
        for first in rows:
            row = first.removeprefix(BOM)
            try:
                is_header = self._is_header(row)
            except FormatError as error:
                raise FormatError(told(str(error), row, self._name)) from error
            if not is_header:
                yield row
            break
        yield from rows

    def _is_header(self, row: bytes) -> bool:
        """Whether the first row names the columns, which it does where they are not known. Raises FormatError."""
        cells = self._parse(row)
        if not self._columns:
            self._name_columns(cells)
        elif cells != self._columns:
            self._check_no_header(cells)
            return False
        return True

    def _check_no_header(self, cells: list[str]) -> None:
        names = sum(cell in self._columns for cell in cells)
        is_no_event = len(cells) == len(self._columns) and not any(map(is_number_text, cells))
        if names * 2 > len(cells) or (is_no_event and not self._is_label_of(cells)):
            raise FormatError(
                f"header: {self._separator.join(cells)[:200]!r} differs from the columns "
                f"{self._separator.join(self._columns)[:200]!r} (events.columns, or the first file's header): its "
                "rows would be read under wrong names"
            )

    def _is_label_of(self, cells: list[str]) -> bool:
        cell = cells[self._special.get("label", 0)]
        try:
            return self._schema.is_missing(cell) or self._labels.text_value(cell) is not None
        except FormatError:
            return False

    def labelled(self, payload: bytes, label: object) -> bytes:
        cells = self._cells(payload)
        if "label" not in self._special:
            raise FormatError("schema.label: not set; expected the name of the column that a label goes to")
        index = self._special["label"]
        if not self._schema.is_missing(cells[index]):
            raise FormatError(f"{self._schema.label}: the event has one already: {cells[index]!r}")
        text = label if isinstance(label, str) else written(number(label, "label"))
        self._labels.text_value(text, str(self._schema.label))
        cells[index] = text
        return self.row(cells)

    def row(self, cells: Sequence[str]) -> bytes:
        """The cells as one payload."""
        special = {self._separator, '"', "\r", "\n"} if self._quoting else {self._separator, "\r", "\n"}
        if not self._quoting and (unfit := [cell for cell in cells if not special.isdisjoint(cell)]):
            raise FormatError(f"{unfit[0]!r} holds a separator or a line end, and there are no quotes (events.quoting)")
        quoted = [cell if special.isdisjoint(cell) else '"' + cell.replace('"', '""') + '"' for cell in cells]
        try:
            return self._separator.join(quoted).encode(self._encoding)
        except UnicodeEncodeError as error:
            bad = error.object[error.start : error.end]
            raise FormatError(f"{bad!r} cannot be written as {self._encoding} (see events.encoding)") from error

    def _decode_block(self, payloads: Sequence[bytes]) -> Decoded:
        lines = self._plain(payloads)
        if lines is not None:
            return Decoded(lines, [])
        examples: list[Example] = []
        dead: list[Dead] = []
        for index, payload in enumerate(payloads):
            try:
                examples.append(self._example(self._cells(payload)))
            except FormatError as error:
                dead.append(Dead(index, told(str(error), payload, self._name)))
        return Decoded(examples, dead)

    def _plain(self, payloads: Sequence[bytes]) -> Lines | None:
        """All rows at once, or None if one of them is not plain or not valid."""
        if self._plan is None or self._reads != "text" or not self._is_byte_wise:
            return None
        cells, period = self._plain_cells(payloads), len(self._columns) + 1
        if not cells:
            return None
        columns = {role: cells[index::period] for role, index in self._special.items()}
        try:
            heads = self._plain_heads(columns, len(payloads))
            ids = [cell or None for cell in columns["id"]] if "id" in columns else None
            times = [self._time(cell) for cell in columns["time"]] if "time" in columns else None
            labels, weights, texts = zip(*heads, strict=True)
            text = b"\n".join(self._plan.texts(texts, cells, period))
        except FormatError:
            return None
        return Lines(text, labels, weights, ids, times)

    def _plain_cells(self, payloads: Sequence[bytes]) -> list[str] | None:
        """The cells of all rows, and a line end after each row's; None unless every row is plain and whole."""
        joined = b"\n".join([*payloads, b""])
        if (self._quoting and b'"' in joined) or b"\r" in joined or joined.count(b"\n") != len(payloads):
            return None
        try:
            text = joined.decode(self._encoding)
        except UnicodeDecodeError:
            return None
        period = len(self._columns) + 1
        cells = text.replace("\n", f"{self._separator}\n{self._separator}").split(self._separator)
        cells.pop()
        is_whole = len(cells) == period * len(payloads) and cells[period - 1 :: period].count("\n") == len(payloads)
        return cells if is_whole else None

    def _plain_heads(self, columns: dict[str, list[str]], rows: int) -> Sequence[_Head]:
        none = [""] * rows
        keys = list(zip(columns.get("label", none), columns.get("weight", none), strict=True))
        known = self._heads
        try:
            return [known[key] for key in keys]
        except KeyError:
            if len(known) >= _CACHED_HEADS:
                known.clear()
            known.update((key, self._head(*key)) for key in keys)
            return [known[key] for key in keys]

    def _head(self, label_cell: str, weight_cell: str) -> _Head:
        label, importance, is_missing = None, 1.0, self._schema.is_missing
        if "label" in self._special and not is_missing(label_cell):
            label = self._labels.text_value(label_cell, str(self._schema.label))
        if "weight" in self._special and not is_missing(weight_cell):
            field = str(self._schema.weight)
            importance = weight(number_text(weight_cell, field), field)
        return label, importance, self._labels.written(label, importance).encode()

    def _time(self, cell: str) -> float | None:
        return None if self._schema.is_missing(cell) else event_time(cell, str(self._schema.time))

    def _name_columns(self, columns: list[str]) -> None:
        if len(set(columns)) != len(columns):
            twice = sorted({name for name in columns if columns.count(name) > 1})
            raise FormatError(f"header: column {twice[0]!r} occurs more than once")
        special = {"label": self._schema.label, "weight": self._schema.weight, "id": self._schema.id}
        special["time"] = self._schema.time
        for role, name in special.items():
            if name is not None and name not in columns:
                raise FormatError(f"schema.{role}: no column {name!r} in {', '.join(columns)}")
        self._columns = columns
        self._special = {role: columns.index(name) for role, name in special.items() if name is not None}
        self._plan = Shapes(self._schema, self._schema.cell).row_plan(columns)

    def _cells(self, payload: bytes) -> list[str]:
        cells = self._parse(payload)
        if len(cells) != len(self._columns):
            if not self._columns:
                raise FormatError("columns of CSV rows are not known: set events.columns")
            raise FormatError(f"row has {len(cells)} cells, but there are {len(self._columns)} columns")
        return cells

    def _parse(self, payload: bytes) -> list[str]:
        try:
            text = payload.decode(self._encoding)
        except UnicodeDecodeError as error:
            bad = payload[error.start : error.start + 8]
            raise FormatError(f"not {self._encoding} at byte {error.start}: {bad!r} (see events.encoding)") from error
        if not self._quoting or '"' not in text:
            line = text.removesuffix("\n").removesuffix("\r")
            if "\n" in line or "\r" in line:
                raise FormatError(f"not one CSV row: a line end outside quotes in {text[:80]!r}")
            return line.split(self._separator)
        try:
            rows = list(csv.reader([text], delimiter=self._separator, strict=True))
        except csv.Error as error:
            raise FormatError(_misquoted(text)) from error
        return rows[0] if rows else []

    def _example(self, cells: list[str]) -> Example:
        found = {role: cells[index] for role, index in self._special.items()}
        label, importance, head = self._head(found.get("label", ""), found.get("weight", ""))
        example = Example(label, importance, id=found.get("id") or None)
        if "time" in found:
            example.time_s = self._time(found["time"])
        if self._reads == "text" and self._plan is not None:
            example.text = head + self._plan.text(cells)
        else:
            names = [("", name) for name in self._columns]
            example.features = features_of(self._schema, self._schema.cell, names, cells)
        return example


def _rows(stream: BinaryIO) -> Iterator[bytes]:
    """Lines of the stream that are not empty, joined where a quoted cell holds a line end."""
    opened = QuotedRow()
    for block in line_blocks(stream):
        cut = block.split(b"\n")
        if not opened and b'"' not in block:
            yield from filter(None, cut if b"\r" not in block else [line.rstrip(b"\r") for line in cut])
            continue
        for line in cut:
            row = opened.add(line)
            if row and (row := row.rstrip(b"\r\n")):
                yield row
    if opened:
        rest = opened.rest()
        raise FormatError(told(f"a quote opened in {rest[:60]!r} is not closed before the end", rest, "csv"))


def _misquoted(text: str) -> str:
    spans = text.count("\n") + 1
    over = f" and runs over {spans} lines" if spans > 1 else ""
    return (
        f"not a CSV row: a quote opens in {text[:80]!r}{over}, and is not closed at the end of its cell; where "
        "quotes are text like any other, set events.quoting = false"
    )
