"""What a value of a column becomes: its text in a VW line, or its label. Knows single values, not rows.

The tables are dicts that fill themselves, so that a value seen before costs one look-up and no call.
All but `Labels`, whose classes must not change, are emptied when they are full: memory stays constant.
"""

import re
from collections.abc import Sequence
from operator import itemgetter

TABLE_ENTRIES = 1 << 17
"""Of all columns' tables together."""
LABEL_NUMBERS_KEPT = 1 << 12
LONGEST_KEPT = 64
"""Longer values seldom come again and are not kept."""
_SPACE = r"[ \t\n\r\f\v]"
_DECIMAL = r"(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:e[+-]?[0-9]++)?+"
_NAN = r"(?:1\.?#)?[qs]?nan[qs]?(?:\((?:[0-9]+|0x[0-9a-f]+|0b[01]+)\))?"
_NOT_FINITE = rf"inf(?:inity)?|1\.?#(?:inf(?:inity)?|ind)0*|{_NAN}"
_SIGNED = rf"{_SPACE}*[+-]?(?:{_DECIMAL}|{_NOT_FINITE}){_SPACE}*"
_NUMBER = re.compile(rf"{_SIGNED}|{_SPACE}*-{_SPACE}+|(?-i:0 but true)", re.ASCII | re.IGNORECASE)


def looks_like_number(value: str) -> bool:
    """Perl's idea of a number (perlapi, grok_number): spaces around it, inf and nan are, `1_000` and `0x1f` are not.

    >>> [looks_like_number(value) for value in (" .5e3", "-Inf", "1.", "5\\r", "", "1_000", "1e", "0x1f")]
    [True, True, True, True, False, False, False, False]
    """
    if value.isalnum():
        if value.isdecimal():
            return True
        if value.isalpha() and value[0] not in "iInNqQsS":  # inf, nan, qnan, snan
            return False
    return _NUMBER.fullmatch(value) is not None


class Features(dict[str, str]):
    """Value of a column -> its text in a VW line: ` name:value` for a number, ` name=value` for anything else."""

    __slots__ = ("_category", "_entries", "_number")

    def __init__(self, name: str, entries: int) -> None:
        super().__init__()
        self._number = f" {name}:"
        self._category = f" {name}="
        self._entries = entries

    def __missing__(self, value: str) -> str:
        text = (self._number if looks_like_number(value) else self._category) + value
        if len(self) >= self._entries:
            self.clear()
        if len(value) <= LONGEST_KEPT:
            self[value] = text
        return text

    def texts(self, values: Sequence[str]) -> Sequence[str]:
        """The text of each of two or more values. A column that holds one value only is looked up once.

        >>> Features("name", entries=10).texts(("2", "x", "x"))
        (' name:2', ' name=x', ' name=x')
        """
        value = values[0]
        if value == values[-1] and values.count(value) == len(values):
            return [self[value]] * len(values)
        texts: tuple[str, ...] = itemgetter(*values)(self)
        return texts


class Labels(dict[str, str]):
    """Value of the label column -> VW label: a number stays as it is, texts become 1..k as they first appear."""

    __slots__ = ("classes",)

    def __init__(self) -> None:
        super().__init__()
        self.classes = 0

    def __missing__(self, value: str) -> str:
        if looks_like_number(value):
            if len(self) - self.classes < LABEL_NUMBERS_KEPT:
                self[value] = value
            return value
        self.classes += 1
        label = self[value] = str(self.classes)
        return label
