"""What msgspec says of a value that does not fit its type, taken apart: which field, and what is wrong with it."""

import re
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`")


def place_and_reason(error: msgspec.ValidationError) -> tuple[str, str]:
    """The field as a dotted path, '' for the whole value, and the reason.

    >>> place_and_reason(msgspec.ValidationError("Expected `int`, got `str` - at `$.http.port`"))
    ('http.port', 'expected `int`, got `str`')
    >>> place_and_reason(msgspec.ValidationError("Object contains unknown field `prot` - at `$.http`"))
    ('http.prot', 'unknown field')
    """
    reason, _, place = str(error).partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    named = _FIELD.match(reason)
    if named is not None:
        place = f"{place}.{named[2]}".lstrip(".")
        reason = "unknown field" if named[1] == "contains unknown" else "required"
    return place, reason[:1].lower() + reason[1:]


def with_choices(error: msgspec.ValidationError, root: type) -> msgspec.ValidationError:
    """The same error; where one of some words was expected in a value of type `root`, with those words.

    >>> class Wanted(msgspec.Struct):
    ...     action: Literal["back", "add"] | None = None
    >>> print(with_choices(msgspec.ValidationError("Invalid enum value 'x' - at `$.action`"), Wanted))
    Invalid enum value 'x': expected one of add, back - at `$.action`
    """
    reason, at, place = str(error).partition(" - at `$")
    choices = _choices(root, place.rstrip("`").lstrip(".")) if reason.startswith("Invalid enum value") else []
    if not choices:
        return error
    return msgspec.ValidationError(f"{reason}: expected one of {', '.join(choices)}{at}{place}")


def _choices(root: type, place: str) -> list[str]:
    """The words that may stand there; none where the type is another."""
    found: Any = root
    for name in place.replace("[...]", "").split("."):
        found = get_type_hints(found).get(name) if isinstance(found, type) and get_origin(found) is None else None
        while get_origin(found) in (dict, list, Union, UnionType):
            found = next(part for part in reversed(get_args(found)) if part is not type(None))
    return sorted(map(str, get_args(found))) if get_origin(found) is Literal else []
