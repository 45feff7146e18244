"""EVENT on a command line: the event itself, @FILE, or - for standard input."""

from pathlib import Path

import click

from formats.example import Example, FormatError
from formats.format import Format
from stream_app.serving import decoded
from stream_app.settings import ConfigError

EXPECTED = "expected an event as events.format has it, @FILE that holds one, or - for standard input"


def example_of(event: str, format_: Format) -> Example:
    """The example that EVENT stands for. Raises ConfigError saying what is expected, FormatError for a bad event."""
    payload = _payload(event)
    try:
        found = decoded(format_, [payload])
    except FormatError as error:
        if event[:1] in ("@", "-") or not _is_file(event):
            raise FormatError(f"EVENT: {error}; {EXPECTED}") from error
        raise ConfigError(f"EVENT: {event!r} is the name of a file: to read it, write @{event}") from error
    if len(found) != 1:
        raise ConfigError(f"EVENT: {len(found)} events in it: expected one")
    return found[0]


def _payload(event: str) -> bytes:
    if event == "-":
        return _whole("-", click.get_binary_stream("stdin").read())
    if not event.startswith("@"):
        return _whole(event, event.encode(errors="surrogateescape"))
    try:
        return _whole(event, Path(event[1:]).read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"EVENT: {event!r}: the file {event[1:]!r} cannot be read ({why}); {EXPECTED}") from error


def _whole(event: str, content: bytes) -> bytes:
    """Without the line ends of a file."""
    if not content.strip():
        raise ConfigError(f"EVENT: {event!r}: there is no event in it; {EXPECTED}")
    return content.strip()


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
