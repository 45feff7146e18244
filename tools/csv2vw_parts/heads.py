"""What stands before the features of a line: label, importance weight, tag. Knows no features."""

from typing import Protocol

from formats.example import FormatError
from formats.labels import Labels
from formats.numbers import number_text, weight, written
from formats.vw_text import escape
from tools.csv2vw_parts.cells import is_missing, usable
from tools.csv2vw_parts.errors import BadRow
from tools.csv2vw_parts.label_map import LabelMap

HEADS_KEPT = 1 << 14

Head = tuple[str | None, str, float]
"""A label as VW is given it (None: unlabelled), what may follow it there (an initial value), and the weight."""


class LabelRule(Protocol):
    """How a label cell becomes a label's number."""

    def number(self, cell: str) -> float:
        """The number. Raises BadRow for a cell that is no label. The cell is not empty."""
        ...


class NamedLabels:
    """`--labels`: these texts and no others."""

    def __init__(self, names: dict[str, float]) -> None:
        self._names = names

    def number(self, cell: str) -> float:
        try:
            return self._names[cell]
        except KeyError:
            raise BadRow(f"label {cell!r} is not one of {', '.join(self._names)}") from None


class ClassLabels:
    """The default: numbers as they are, texts 1..k by first appearance or as the map has them."""

    def __init__(self, known: LabelMap) -> None:
        self._known = known

    def number(self, cell: str) -> float:
        value = usable(cell)
        if value is not None:
            return value
        if is_missing(cell, frozenset()):
            raise BadRow(f"label {cell!r} is not a number that VW can learn from")
        return self._known.add(cell)


class Heads(dict[tuple[str, str], Head]):
    """Cells of label and weight -> what becomes of them. Raises BadRow; the weight is looked at first, so that the
    label of a row that is bad for its weight gets no number. Emptied when full."""

    def __init__(self, rule: LabelRule, missing_values: frozenset[str], takes_vw_text: bool) -> None:
        super().__init__()
        self._rule = rule
        self._missing_values = missing_values
        self._takes_vw_text = takes_vw_text

    def __missing__(self, cells: tuple[str, str]) -> Head:
        label_cell, weight_cell = cells
        head = self._head(label_cell, self._weight(weight_cell))
        if len(self) >= HEADS_KEPT:
            self.clear()
        self[cells] = head
        return head

    def _head(self, cell: str, importance: float) -> Head:
        if cell in self._missing_values:
            return None, "", importance
        if self._takes_vw_text and " " in cell.strip(" "):
            return self._vw_label(cell, importance)
        return written(self._rule.number(cell)), "", importance

    def _weight(self, cell: str) -> float:
        if cell in self._missing_values:
            return 1.0
        try:
            return weight(number_text(cell, "weight"))
        except FormatError as error:
            raise BadRow(str(error)) from error

    def _vw_label(self, cell: str, importance: float) -> Head:
        """`LABEL WEIGHT [INITIAL]`, which VW's own CSV reader takes in a column `_label`."""
        tokens = cell.split()
        try:
            value, inner = Labels("number").parse(tokens)
        except FormatError as error:
            raise BadRow(str(error)) from error
        if not isinstance(value, float):
            raise BadRow(f"label {cell!r} is not a number that VW can learn from")
        return written(value), tokens[2] if len(tokens) > 2 else "", inner * importance


def head_text(head: Head, tag_cell: str) -> str:
    """The beginning of a VW line, up to the first bar."""
    label, initial, importance = head
    text = "" if label is None else f"{label} "
    if label is not None and (importance != 1.0 or initial):
        text += f"{written(importance)} "
    if initial:
        text += f"{initial} "
    return f"{text}'{escape(tag_cell)} " if tag_cell else text
