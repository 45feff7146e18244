"""Rows of cells to lines, many at once: VW text, or Weir's JSON events. Knows no files and no bad rows."""

from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from operator import attrgetter, itemgetter
from typing import Protocol

import orjson

from formats.vw_text import escape_name
from tools.csv2vw_parts.cells import TABLE_ENTRIES, Tokens, Values
from tools.csv2vw_parts.errors import BadRow
from tools.csv2vw_parts.heads import Head, Heads, head_text
from tools.csv2vw_parts.layout import Layout
from tools.csv2vw_parts.modern_options import Options
from tools.csv2vw_parts.row_cells import Cells


class Lines(Protocol):
    """How rows are written."""

    def block(self, rows: Cells) -> bytes:
        """The lines of at least one row. Raises BadRow if any of them has no line."""
        ...


class _PlainHeads(dict[str, str]):
    """Cell of the label -> the beginning of a line, where there is neither weight nor tag."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self._heads = heads

    def __missing__(self, cell: str) -> str:
        text = head_text(self._heads[cell, ""], "")
        if len(self) < TABLE_ENTRIES:
            self[cell] = text
        return text


class VwLines:
    """VW text: `1 2.0 'tag |ns a:1 b=x`, features in Weir's order. A column that holds one value is looked up once."""

    def __init__(self, layout: Layout, heads: Heads, options: Options) -> None:
        self._layout = layout
        self._heads = heads
        self._plain_heads = _PlainHeads(heads)
        entries = max(64, TABLE_ENTRIES // (len(layout.features) + 1))
        self._plan: list[tuple[str, Tokens, int]] = []
        namespace: str | None = None
        for column in layout.features:
            opening = "" if column.namespace == namespace else _opening(column.namespace, namespace is None)
            namespace = column.namespace
            self._plan.append((opening, Tokens(column, options.missing_values, options.missing, entries), column.place))

    def block(self, rows: Cells) -> bytes:
        cells, period, height = rows
        pieces: list[Sequence[str]] = [self._heads_of(rows)]
        same = "" if self._plan else "|"
        for opening, tokens, index in self._plan:
            same += opening
            column = cells[index::period]
            value = column[0]
            if value == column[-1] and column.count(value) == height:
                same += tokens[value]
                continue
            if same:
                pieces.append([same] * height)
                same = ""
            pieces.append(itemgetter(*column)(tokens))
        pieces.append([same + "\n"] * height)
        width = len(pieces)
        slots = [""] * (width * height)
        for number, piece in enumerate(pieces):
            slots[number::width] = piece
        return "".join(slots).encode()

    def _heads_of(self, rows: Cells) -> list[str]:
        layout = self._layout
        labels = _column(rows, layout.label)
        if layout.weight is None and layout.tag is None:
            return [self._plain_heads[cell] for cell in labels]
        found = [self._heads[key] for key in zip(labels, _column(rows, layout.weight), strict=True)]
        return [head_text(head, tag) for head, tag in zip(found, _column(rows, layout.tag), strict=True)]


class JsonLines:
    """JSON events, one a line, that Weir's JSON format turns into the same VW text, but for the tag: that is the id."""

    def __init__(self, layout: Layout, heads: Heads, options: Options) -> None:
        self._layout = layout
        self._heads = heads
        entries = max(64, TABLE_ENTRIES // (len(layout.features) + 1))
        self._tables = [Values(column, options.missing_values, options.missing, entries) for column in layout.features]
        spaces = {space: list(columns) for space, columns in groupby(layout.features, key=attrgetter("namespace"))}
        nameless = {column.name for column in spaces.get("", [])}
        self._is_nested = not nameless.isdisjoint(spaces)
        self._spaces = [(space, [column.name for column in columns]) for space, columns in spaces.items()]

    def block(self, rows: Cells) -> bytes:
        layout = self._layout
        keys = zip(_column(rows, layout.label), _column(rows, layout.weight), strict=True)
        heads = [self._heads[key] for key in keys]
        columns = zip(self._tables, layout.features, strict=True)
        values = [[table[cell] for cell in rows.cells[column.place :: rows.period]] for table, column in columns]
        features = zip(*values, strict=True) if values else repeat(())
        lines = []
        for head, tag, row in zip(heads, _column(rows, layout.tag), features, strict=False):
            event = dict(_event_head(head, tag))
            event["features"] = self._features(row)
            lines.append(orjson.dumps(event))
        return b"\n".join([*lines, b""])

    def _features(self, row: Sequence[object]) -> dict[str, object]:
        features: dict[str, object] = {}
        cells = iter(row)
        for space, names in self._spaces:
            named = dict(zip(names, cells, strict=False))
            if space or self._is_nested:
                features[space] = named
            else:
                features.update(named)
        return features


def _event_head(head: Head, tag: str) -> Iterator[tuple[str, object]]:
    label, initial, importance = head
    if initial:
        raise BadRow(f"label with the initial value {initial}, which JSON events do not have")
    if tag:
        yield "id", tag
    if label is not None:
        yield "label", float(label)
    if importance != 1.0:
        yield "weight", importance


def _column(rows: Cells, index: int | None) -> Sequence[str]:
    return [""] * rows.rows if index is None else rows.cells[index :: rows.period]


def _opening(namespace: str, is_first: bool) -> str:
    return f"{'' if is_first else ' '}|{escape_name(namespace)}"
