"""Why a row with quotes is none, in words for people: where the quote stands, what is wrong with it, what to do."""

import re

ADVICE = "--no-quotes reads quotes as text"
SHOWN = 40
"""Characters shown from a quote on."""
_LINE_END = re.compile(r"[\r\n]")
_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')


def unclosed(line: int, text: str, where: str) -> str:
    """What to say of a line in which a quote opens that no later line closes."""
    shown = _shown(text, text.rfind('"'))
    return f"a quote opens on line {line}, at {shown}, and is not closed {where}"


def misplaced(text: str, separator: str, line: int) -> str:
    r"""What is wrong with the quotes of a row that begins on this line.

    >>> misplaced('1,"a"b', ",", 7)
    'the quote that opens on line 7, at \'"a"b\', closes before the end of its cell'
    >>> misplaced('5" x,1\n6" y,2', ",", 7)
    "a quote on line 7, after '5', stands within a cell and is alone on its line: the row runs on to line 8"
    """
    at, alone = 0, -1
    while at <= len(text):
        if text.startswith('"', at):
            cell = _QUOTED.match(text, at)
            if cell is None:
                return f"{_opening(text, at, line)}, is not closed"
            end = cell.end()
            if end < len(text) and text[end] not in (separator, "\r", "\n"):
                return f"{_opening(text, at, line)}, closes before the end of its cell"
            line_end = _LINE_END.search(text, end, end + 1)
        else:
            end = text.find(separator, at)
            end = len(text) if end < 0 else end
            line_end = _LINE_END.search(text, at, end)
            found = text.find('"', at, line_end.start() if line_end else end)
            alone = found if found >= 0 else alone
        if line_end:
            break
        at = end + 1
    if alone >= 0 and "\n" in text:
        return _within(text, alone, line)
    return f"a carriage return or a cell that is too long within {text[:SHOWN]!r}"


def _opening(text: str, at: int, line: int) -> str:
    return f"the quote that opens on line {_line(text, at, line)}, at {_shown(text, at)}"


def _within(text: str, at: int, line: int) -> str:
    before = text[:at].rpartition("\n")[2][-SHOWN:]
    stands = f"a quote on line {_line(text, at, line)}, after {before!r}, stands within a cell"
    return f"{stands} and is alone on its line: the row runs on to line {_line(text, len(text), line)}"


def _line(text: str, at: int, line: int) -> int:
    return line + text.count("\n", 0, at)


def _shown(text: str, at: int) -> str:
    return repr(text[at:].partition("\n")[0][:SHOWN])
