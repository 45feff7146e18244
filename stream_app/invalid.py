"""What msgspec says of a value that does not fit its type, taken apart: which field, and what is wrong with it."""

import re

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
