"""What a cell means in the modern reader: a number, a text, or nothing; and how VW is given it."""

from formats.example import FormatError
from formats.numbers import MAX_NUMBER, TINY, is_number_text, number, written
from formats.vw_text import escape, escape_name
from tools.csv2vw_parts.columns import LONGEST_KEPT
from tools.csv2vw_parts.layout import Column

TABLE_ENTRIES = 1 << 18
"""Of all columns' tables together."""
NOT_FINITE = frozenset(["nan", "inf", "infinity"])
"""What Python takes for a number though it is letters alone."""
SHORT = 15
"""Whole numbers of fewer digits are below the largest that Weir takes."""


def is_missing(cell: str, missing_values: frozenset[str]) -> bool:
    """Whether a cell holds no value: as asked for, or a number that VW must not see (nan, inf, 1_000, beyond 1e15).

    >>> [is_missing(cell, frozenset([""])) for cell in ("", "NaN", "-inf", "1_000", "1e300", "NA", "1e3")]
    [True, True, True, True, True, False, False]
    """
    return cell in missing_values or (usable(cell) is None and _is_number_for_python(cell))


def usable(cell: str) -> float | None:
    """The number that the cell is written as, by Weir's rules; None if there is none, or none that VW may see.

    >>> usable(" 5"), usable("1_000"), usable("1e300")
    (5.0, None, None)
    """
    bare = cell.strip(" \t")
    if not is_number_text(bare):
        return None
    try:
        return number(float(bare), "cell")
    except FormatError:
        return None


class Tokens(dict[str, str]):
    """Cell of a column -> its VW tokens, led by a blank, or nothing. Emptied when full."""

    __slots__ = ("_entries", "_if_missing", "_if_not", "_missing_values", "_name")

    def __init__(self, column: Column, missing_values: frozenset[str], missing: str, entries: int) -> None:
        super().__init__()
        self._name = escape_name(column.name)
        self._if_missing = {"drop": "", "keep": f" {self._name}=", "indicate": ""}[missing]
        if column.tells_missing:
            self._if_missing = f" {self._name}:1"
        self._if_not = "" if column.tells_missing else None
        self._missing_values = missing_values
        self._entries = entries

    def __missing__(self, cell: str) -> str:
        token = self._token(cell)
        if len(cell) <= LONGEST_KEPT:
            if len(self) >= self._entries:
                self.clear()
            self[cell] = token
        return token

    def _token(self, cell: str) -> str:
        if cell in self._missing_values:
            return self._if_missing
        if self._if_not is not None:
            return self._if_missing if is_missing(cell, self._missing_values) else self._if_not
        if cell.isascii():
            if (
                len(cell) < SHORT
                and (digits := cell.removeprefix("-")).isdecimal()
                and (digits[0] > "0" or cell == "0")
            ):
                return f" {self._name}:{cell}"
            if cell.isalnum() and cell[0] > "9" and cell.lower() not in NOT_FINITE:
                return f" {self._name}={cell}"
            if cell[0] <= "9" and _is_canonical_fraction(cell):
                return f" {self._name}:{cell}"
        value = usable(cell)
        if value is not None:
            return f" {self._name}:{written(value)}"
        return self._if_missing if _is_number_for_python(cell) else f" {self._name}={escape(cell)}"


class Values(dict[str, str | float | None]):
    """Cell of a column -> its value in a JSON event. Emptied when full."""

    __slots__ = ("_column", "_entries", "_if_missing", "_missing_values")

    def __init__(self, column: Column, missing_values: frozenset[str], missing: str, entries: int) -> None:
        super().__init__()
        self._column = column
        self._if_missing = "" if missing == "keep" else None
        self._missing_values = missing_values
        self._entries = entries

    def __missing__(self, cell: str) -> str | float | None:
        value = self._value(cell)
        if len(cell) <= LONGEST_KEPT:
            if len(self) >= self._entries:
                self.clear()
            self[cell] = value
        return value

    def _value(self, cell: str) -> str | float | None:
        is_absent = is_missing(cell, self._missing_values)
        if self._column.tells_missing:
            return 1.0 if is_absent else None
        if is_absent:
            return self._if_missing
        value = usable(cell)
        return cell if value is None else value


def _is_canonical_fraction(cell: str) -> bool:
    """Whether the cell is written as Weir writes that number; a quick answer for fractions, False for much else."""
    try:
        value = float(cell)
    except ValueError:
        return False
    return repr(value) == cell and TINY <= abs(value) <= MAX_NUMBER and not value.is_integer()


def _is_number_for_python(cell: str) -> bool:
    if not cell.isascii():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
