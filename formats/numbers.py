"""Which numbers may reach a learner. Knows no format: every decoder asks here."""

import math
import re
from datetime import UTC, datetime

from formats.example import FormatError

MAX_NUMBER = 1e15
"""Largest magnitude of a feature or label. VW computes in float32, and squares: FTRL turns 1e18 into NaN weights."""

MAX_WEIGHT = 1e9
"""Largest importance weight."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)


# VW keeps digits in a float32 and the exponent in 8 bits: neither may overflow.
_READ_BY_VW = re.compile(r"(?=.{1,32}\Z)[^eE]+(?:[eE](?:-0?[0-9]{1,2}|\+?0?[0-2]?[0-9]))?")

TINY = 1e-37
"""Below this magnitude a number is written as 0 for VW: float32 has no such numbers."""


def number(value: object, field: str) -> float:
    """The value as a float, if it is a finite number of usable size; a boolean is 0 or 1, text is not converted.

    >>> number(2, "features.n")
    2.0
    """
    if not isinstance(value, int | float):
        raise FormatError(f"{field}: expected a number, got {shown(value)}")
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        if isinstance(value, float) and not math.isfinite(value):
            raise FormatError(f"{field}: {value!r} is not finite")
        raise FormatError(f"{field}: {shown(value)} is too large; the largest magnitude is {MAX_NUMBER:g}")
    return float(value) + 0.0  # -0.0 is 0.0


def number_text(text: str, field: str) -> float:
    """The number written in `text`, by the rules that VW and JSON share: no `nan`, `inf`, `1_000` or hexadecimal.

    >>> number_text("1e3", "label")
    1000.0
    """
    if not is_number_text(text):
        raise FormatError(f"{field}: expected a finite number, got {shown(text)}")
    return number(float(text), field)


def is_number_text(text: str) -> bool:
    """Whether `text` is written as a number; it may still be too large."""
    return _NUMBER.fullmatch(text) is not None


def vw_number(text: str, field: str) -> float:
    """The same for a number that VW itself will read, which takes `1e-129` for infinity and `1e-259` for 0.001."""
    value = number_text(text, field)
    if not _READ_BY_VW.fullmatch(text):
        raise FormatError(f"{field}: {shown(text)} has more digits than VW can read; expected at most 32, e-99 to e29")
    return value


def weight(value: float, field: str = "weight") -> float:
    """The value, if it may be an importance weight: 0 to 1e9."""
    if not 0.0 <= value <= MAX_WEIGHT:
        raise FormatError(f"{field}: {value!r} is not a weight; expected 0 to {MAX_WEIGHT:g}")
    return value


def event_time(raw: object, field: str = "ts") -> float:
    """Unix seconds, from a number, or from text that is a number or an ISO 8601 time (UTC unless it says otherwise).

    >>> event_time("1970-01-01T00:01:00")
    60.0
    """
    if isinstance(raw, str):
        if _NUMBER.fullmatch(raw):
            raw = float(raw)
        else:
            try:
                moment = datetime.fromisoformat(raw)
            except ValueError:
                raise FormatError(f"{field}: expected Unix seconds or an ISO 8601 time, got {shown(raw)}") from None
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) <= MAX_NUMBER:
        raise FormatError(f"{field}: expected Unix seconds, got {shown(raw)}")
    return float(raw)


def written(value: float) -> str:
    """The one way this number is written for VW: 447, 447.0 and True-as-1 give the same text, so the same float32.

    >>> written(447.0), written(0.1), written(-0.0)
    ('447', '0.1', '0')
    """
    if value == int(value):
        return str(int(value))
    return repr(float(value)) if abs(value) >= TINY else "0"


def shown(value: object) -> str:
    """The value as a message shows it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
