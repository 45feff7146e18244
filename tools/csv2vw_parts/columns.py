"""What a value of a column becomes: its mark (`:` or `=`) or its label. Knows single values, not rows.

The tables are dicts that fill themselves, so that a value seen before costs one look-up and no call.
All but `Labels`, whose classes must not change, are emptied when they are full: memory stays constant.
"""

import re
from collections.abc import Sequence
from operator import itemgetter

TABLE_ENTRIES = 1 << 18
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
    return value.isdecimal() or _NUMBER.fullmatch(value) is not None


class Marks(dict[str, str]):
    """Value -> what stands before it in a VW line: ` name:` for a number, ` name=` for a text."""

    __slots__ = ("_entries", "_kinds", "category", "number")

    def __init__(self, name: str, entries: int) -> None:
        super().__init__()
        self.number = f" {name}:"
        self.category = f" {name}="
        self._entries = entries
        self._kinds = [_are_words, _are_numbers, _are_whole]

    def __missing__(self, value: str) -> str:
        mark = self.number if looks_like_number(value) else self.category
        if len(self) >= self._entries:
            self.clear()
        if len(value) <= LONGEST_KEPT:
            self[value] = mark
        return mark

    def pieces(self, values: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """Two pieces of text for each of two or more values: mark and value, or all of it and nothing.

        >>> Marks("name", entries=10).pieces(("2", "x", "x"))
        ((' name:', ' name=', ' name='), ('2', 'x', 'x'))
        """
        value = values[0]
        if value == values[-1] and values.count(value) == len(values):
            return [self[value] + value] * len(values), [""] * len(values)
        mark = self._shared(values)
        return itemgetter(*values)(self) if mark is None else [mark] * len(values), values

    def _shared(self, values: Sequence[str]) -> str | None:
        """The mark of all these values at once, if they are all digits, numbers or letters, as until now."""
        while self._kinds:
            if self._kinds[-1](values):
                return self.category if self._kinds[-1] is _are_words else self.number
            self._kinds.pop()
        return None


def _are_whole(values: Sequence[str]) -> bool:
    return all(values) and "0".join(values).isdecimal()


def _are_numbers(values: Sequence[str]) -> bool:
    """Numbers for Python and Perl both; Python alone allows `_`, and more characters as space."""
    text = "0".join(values)
    if "_" in text or not text.isascii() or not text.isprintable():
        return False
    try:
        for _ in map(float, values):
            pass
    except ValueError:
        return False
    return True


def _are_words(values: Sequence[str]) -> bool:
    """Letters only, or nothing at all, and no letters that might be an inf or nan."""
    text = "x".join(values)
    return text.isalpha() and "nan" not in (small := text.lower()) and "inf" not in small


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
