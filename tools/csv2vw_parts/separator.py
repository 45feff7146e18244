"""Where a line is cut: a separator as Perl's `split` understands it. Knows nothing of what the fields mean."""

import re
from collections.abc import Sequence

_ESCAPED = {"t": "\t", "f": "\f", "r": "\r"}
_META = frozenset(".^$*+?()[]{}|")
_ZERO_WIDTH = r"\(\?|\\[ABGZbz]|[$^]"
_SPACES = " \t\n\r\f\v"
_PERL_ONLY = {
    "[:space:]": r"\s",
    "[:blank:]": r" \t",
    "[:digit:]": r"\d",
    "[:alpha:]": "A-Za-z",
    "[:alnum:]": "A-Za-z0-9",
    "[:punct:]": r"!-/:-@\[-`{-~",
    r"\h": r"[ \t]",
    r"\R": r"(?:\r\n|[\n-\r])",
    r"\v": r"[\n-\r]",
    r"\e": r"\x1b",
    r"\z": r"\Z",
}
_PERL_WORDS = re.compile(r"\\x\{ *([0-9A-Fa-f]{1,2}) *\}|\\.|\[:\w+:\]")


class Separator:
    """A regular expression that stands between fields.

    `plain` is one character where the expression means "one of these characters", else None; `unified` then makes
    all of them that one, so that `str.split` does the work. A single blank is Perl's own case: fields stand between
    runs of white space, and none before the first. Raises ValueError for a bad expression.
    """

    def __init__(self, regex: str) -> None:
        self._is_blank = regex == " "
        characters = "" if self._is_blank else plain_characters(regex)
        self.plain = characters[0] if characters else None
        self._others = characters[1:]
        if self.plain:
            return
        try:
            self._split_at = re.compile(r"\s+" if self._is_blank else _python_regex(regex), re.ASCII)
        except re.error as error:
            raise ValueError(f"{regex!r} is not a regular expression: {error}") from error
        self._may_be_empty = self._split_at.search("") is not None or re.search(_ZERO_WIDTH, regex) is not None

    def unified(self, text: str) -> str:
        """The text with every plain separator character written as `plain`; unchanged where there is none."""
        for other in self._others:
            text = text.replace(other, self.plain or other)
        return text

    def fields(self, line: str) -> Sequence[str | None]:
        """The fields of a line; as in Perl, empty ones at its end vanish, and groups in the expression are fields.

        A group that matched nothing is None: Perl's undefined value.

        >>> Separator("[,;]").fields(",a;b,,")
        ['', 'a', 'b']
        >>> Separator("").fields("abc")
        ['a', 'b', 'c']
        """
        fields: list[str | None]
        if self.plain:
            fields = [*self.unified(line).split(self.plain)]
        elif self._may_be_empty:
            fields = self._perl_split(line)
        else:
            fields = self._split_at.split(line.lstrip(_SPACES) if self._is_blank else line)
        while fields and not fields[-1]:
            fields.pop()
        return fields

    def _perl_split(self, line: str) -> list[str | None]:
        fields: list[str | None] = []
        start = 0
        for match in self._split_at.finditer(line):
            if match.end() == start:  # Perl never cuts an empty piece off with an empty match
                continue
            fields.append(line[start : match.start()])
            fields.extend(match.groups())
            start = match.end()
        fields.append(line[start:])
        return fields


def plain_characters(regex: str) -> str:
    r"""The characters of an expression that means "any one of these", or "" where it means more than that.

    >>> plain_characters(";"), plain_characters("[,\\t]"), plain_characters(r"\|"), plain_characters(r"\s+")
    (';', ',\t', '|', '')
    """
    bracketed = len(regex) > 2 and regex[0] == "[" and regex[-1] == "]"
    body = regex[1:-1] if bracketed else regex
    characters, rest = "", iter(body)
    for character in rest:
        if character == "\\":
            escaped = next(rest, "a")
            character = escaped if not escaped.isalnum() else _ESCAPED.get(escaped, "")
        elif character in ("[]^-" if bracketed else _META):
            return ""
        if not character or character == "\n":
            return ""
        characters += character
    return characters if bracketed or len(characters) == 1 else ""


def _python_regex(perl_regex: str) -> str:
    return _PERL_WORDS.sub(_python_word, perl_regex)


def _python_word(match: re.Match[str]) -> str:
    if match[1]:
        return f"\\x{int(match[1], 16):02x}"
    return _PERL_ONLY.get(match[0], match[0])
