"""What an event looks like that could not be read: the one cause of most such events is another format."""

import re

_JSON = re.compile(rb"\s*(?:\{\s*(?:[\"}]|$)|\[\s*(?:[\[{]|$))")
_VW = re.compile(rb"[^|\"{}\[\],]*\|[^|\s]*\s+\S")
_ROW = re.compile(rb"[^\"{\[\s,;|]*[,;\t]|\"[^\"]*\"[,;\t]")
_SAID = {"json": "JSON", "vw": "VW text", "csv": "a CSV row", "tsv": "a row of cells"}


def told(reason: str, payload: bytes, read_as: str) -> str:
    """The reason why a payload could not be read as `read_as`, after what it looks like where that is something else.

    For events that are refused only: it costs a look at the first bytes.

    >>> told("no '|'", b'{"label": 1}', "vw")
    "it looks like JSON, but events are read as vw (events.format): no '|'"
    >>> told("not JSON: unexpected character", b"1 |f a", "json")
    'not JSON: it looks like VW text, but events are read as json (events.format)'
    >>> told("label: 'YES' is no number", b"YES,1", "csv")
    "label: 'YES' is no number"
    """
    looks = _looks(payload[:1024])
    if looks is None or looks == read_as or {looks, read_as} == {"csv", "tsv"}:
        return reason
    said = f"it looks like {_SAID[looks]}, but events are read as {read_as} (events.format)"
    return f"not JSON: {said}" if read_as == "json" else f"{said}: {reason}"


def _looks(payload: bytes) -> str | None:
    """
    >>> [_looks(text) for text in (b"[{}]", b"{", b"1 'tag|f a:1", b"YES,1", b"nonsense")]
    ['json', 'json', 'vw', 'csv', None]
    """
    if _JSON.match(payload):
        return "json"
    if _VW.match(payload):
        return "vw"
    return "csv" if _ROW.match(payload) else None
