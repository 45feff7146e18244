"""CSV rows: one row per payload, its columns named once by the configuration or by the first row of a file."""

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from formats.example import Dead, Decoded, Example, FormatError
from formats.labels import Labels
from formats.numbers import event_time, number, number_text, weight, written
from formats.schema import Schema
from formats.shape import Plan, Shapes, features_of
from formats.vw_text import Reads

MAX_ROW_BYTES = 1 << 20


class CsvRow:
    """Decodes CSV rows (RFC 4180 quoting). A row with too few or too many cells is dead, and says how many it has.

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
    ) -> None:
        self._labels = labels
        self._schema = schema
        self._reads = reads
        self._encoding = encoding
        self._delimiter = ","
        self._columns: list[str] = []
        self._special: dict[str, int] = {}
        self._plan: Plan | None = None
        if columns:
            self._name_columns(list(columns))

    @property
    def columns(self) -> list[str]:
        """Names of the columns; empty until they are known."""
        return self._columns

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        examples: list[Example] = []
        dead: list[Dead] = []
        for index, payload in enumerate(payloads):
            try:
                examples.append(self._example(self._cells(payload)))
            except FormatError as error:
                dead.append(Dead(index, str(error)))
        return Decoded(examples, dead)

    def split(self, stream: BinaryIO) -> Iterator[bytes]:
        """Rows without their line ends; a quoted cell may span lines. A first row equal to the columns is a header."""
        rows = (row for row in _rows(stream) if row)
        for first in rows:
            row = first.removeprefix(b"\xef\xbb\xbf")
            cells = self._parse(row)
            if not self._columns:
                self._name_columns(cells)
            elif cells != self._columns:
                yield row
            break
        yield from rows

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
        quoted = ['"' + cell.replace('"', '""') + '"' if _needs_quotes(cell) else cell for cell in cells]
        try:
            return self._delimiter.join(quoted).encode(self._encoding)
        except UnicodeEncodeError as error:
            bad = error.object[error.start : error.end]
            raise FormatError(f"{bad!r} cannot be written as {self._encoding} (see events.encoding)") from error

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
        if '"' not in text:
            line = text.removesuffix("\n").removesuffix("\r")
            if "\n" in line or "\r" in line:
                raise FormatError(f"not one CSV row: a line end outside quotes in {text[:80]!r}")
            return line.split(self._delimiter)
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise FormatError(f"not a CSV row: {error}: {text[:80]!r}") from error
        return rows[0] if rows else []

    def _example(self, cells: list[str]) -> Example:
        get, is_missing = self._special.get, self._schema.is_missing
        example = Example()
        if (index := get("label")) is not None and not is_missing(raw := cells[index]):
            example.label = self._labels.text_value(raw, self._columns[index])
        if (index := get("weight")) is not None and not is_missing(raw := cells[index]):
            example.weight = weight(number_text(raw, self._columns[index]), self._columns[index])
        if (index := get("id")) is not None:
            example.id = cells[index] or None
        if (index := get("time")) is not None and not is_missing(raw := cells[index]):
            example.time_s = event_time(raw, self._columns[index])
        if self._reads == "text" and self._plan is not None:
            head = self._labels.written(example.label, example.weight)
            example.text = head.encode() + self._plan.text(cells)
        else:
            names = [("", name) for name in self._columns]
            example.features = features_of(self._schema, self._schema.cell, names, cells)
        return example


def _rows(stream: BinaryIO) -> Iterator[bytes]:
    """Lines of the stream, joined where a quoted cell holds a line end."""
    for line in stream:
        row = line
        if row.count(b'"') % 2:
            for more in stream:
                row += more
                if more.count(b'"') % 2:
                    break
                if len(row) > MAX_ROW_BYTES:
                    raise FormatError(f"a quote opened in {row[:60]!r} is not closed within {MAX_ROW_BYTES} bytes")
        yield row.rstrip(b"\r\n")


def _needs_quotes(cell: str) -> bool:
    return not set(cell).isdisjoint(',"\r\n')
