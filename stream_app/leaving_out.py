"""Which records of the past are not to be learnt again: by offset, event time, field or id. Knows no learner."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from checkpoints.manifest import Hole
from formats.example import ids_of, times_of
from formats.format import Format
from stream_app.condition import COMPARE
from stream_app.holes import Excepted, joined
from stream_app.settings import ConfigError, Settings
from stream_app.sources.source import Records

Test = Callable[[bytes], bool]
"""Whether a record holds an event that is to be left out."""

_OFFSETS = re.compile(r"(\d+):(\d+)-(\d+)")
_WHERE = re.compile(r"\s*([\w.^-]+)\s*(=|!=|<=|>=|<|>)\s*(.+?)\s*")


class Exceptions(msgspec.Struct, frozen=True):
    """What a person wants left out, as options say it."""

    offsets: Sequence[str] = ()
    """PARTITION:FIRST-LAST, both ends included."""
    times: Sequence[str] = ()
    """FROM..TO of the event's own time, the end not included."""
    where: Sequence[str] = ()
    """FIELD OP VALUE on a field of the event."""
    ids: Sequence[str] = ()
    """Files with an id a line."""


class LeavingOut:
    """Called with records that will be learnt next: the holes that they leave. Counts the records, by reason.

    A record is left out whole where one of its events is to be. Nothing of an id or a value stands in a hole, only the
    kind of reason. Raises ConfigError for exceptions that say nothing.
    """

    def __init__(
        self, settings: Settings, format_: Format, exceptions: Exceptions, why: str, known: Sequence[Hole] = ()
    ) -> None:
        """`known` holes are left out as they were before."""
        self.counts: dict[str, int] = {}
        self._why = why
        self._offsets = Excepted([*(offsets_of(text, why) for text in exceptions.offsets), *known])
        self._tests: list[tuple[str, Test]] = []
        if exceptions.times:
            self._tests.append(("time", _times_test(format_, exceptions.times)))
        if exceptions.where:
            self._tests.append(("field", _where_test(settings, exceptions.where)))
        if exceptions.ids:
            self._tests.append(("id", _ids_test(format_, exceptions.ids)))

    def __call__(self, records: Records) -> list[Hole]:
        """The holes among these records, adjacent ones joined."""
        offsets = range(records.offset, records.offset + len(records.payloads))
        kept = set(self._offsets.left(records.partition, offsets))
        holes: list[Hole] = []
        for offset, payload in zip(offsets, records.payloads, strict=True):
            kind = next((kind for kind, test in self._tests if test(payload)), None) if offset in kept else "offset"
            if kind is None:
                continue
            self.counts[kind] = self.counts.get(kind, 0) + 1
            why = f"{self._why} (by {kind})"
            holes.append(Hole(partition=records.partition, first=offset, last=offset + 1, why=why))
        return joined(holes)


def offsets_of(text: str, why: str) -> Hole:
    """The hole that PARTITION:FIRST-LAST names, both ends included. Raises ConfigError.

    >>> offsets_of("0:5-6", "poison")
    Hole(partition=0, first=5, last=7, why='poison')
    """
    match = _OFFSETS.fullmatch(text)
    if match is None or int(match[2]) > int(match[3]):
        raise ConfigError(f"--except: {text!r} is not PARTITION:FIRST-LAST, as in 0:5000-6999")
    return Hole(partition=int(match[1]), first=int(match[2]), last=int(match[3]) + 1, why=why)


def time_of(text: str) -> float:
    """Unix seconds of a time: a number, or ISO 8601, UTC where it says no zone. Raises ConfigError.

    >>> time_of("2026-01-01T00:00:00Z"), time_of("1700000000.5")
    (1767225600.0, 1700000000.5)
    """
    try:
        return float(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise ConfigError(f"{text!r}: expected Unix seconds or a time such as 2026-11-25T18:00:00Z") from error
    return (found if found.tzinfo is not None else datetime.fromisoformat(f"{text}+00:00")).timestamp()


def _times_test(format_: Format, texts: Sequence[str]) -> Test:
    ranges = []
    for text in texts:
        first, dots, last = text.partition("..")
        if not dots or not (first or last):
            raise ConfigError(f"--except-time: {text!r} is not FROM..TO; one of the two may be missing")
        ranges.append((time_of(first) if first else float("-inf"), time_of(last) if last else float("inf")))

    def test(payload: bytes) -> bool:
        times = [time_s for time_s in times_of(format_.decode([payload]).examples) if time_s is not None]
        return any(first <= time_s < last for time_s in times for first, last in ranges)

    return test


def _ids_test(format_: Format, paths: Sequence[str]) -> Test:
    wanted: set[str] = set()
    for path in paths:
        try:
            wanted |= {line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--except-ids: {path!r} cannot be read: {error}") from error
    if not wanted:
        raise ConfigError(f"--except-ids: {', '.join(paths)}: no id in it, expected one a line")
    return lambda payload: any(id_ in wanted for id_ in ids_of(format_.decode([payload]).examples))


def _where_test(settings: Settings, texts: Sequence[str]) -> Test:
    conditions = []
    for text in texts:
        match = _WHERE.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"--except-where: {text!r} is not FIELD = VALUE, as in \"features.flight.Origin = 'MCO'\""
            )
        conditions.append((match[1], COMPARE[match[2]], _value(match[3])))
    events = _reader(settings)

    def test(payload: bytes) -> bool:
        return any(_holds(event, *condition) for event in events(payload) for condition in conditions)

    return test


def _value(text: str) -> object:
    """A number, true, false or null, or a text, with or without quotes."""
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _holds(event: Mapping[str, Any], field: str, compare: Callable[[Any, Any], bool], value: object) -> bool:
    found: Any = event
    if field not in event:
        for part in field.split("."):
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
    else:
        found = event[field]
    if isinstance(found, str) and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found = float(found)  # cells of CSV are text
        except ValueError:
            return False
    try:
        return compare(found, value)
    except TypeError:
        return False


def _reader(settings: Settings) -> Callable[[bytes], Iterator[Mapping[str, Any]]]:
    """The events of a record as their fields."""
    if settings.events.format == "vw":
        raise ConfigError("--except-where: VW text has no fields; use --except, --except-time or --except-ids")
    if settings.events.format == "json":
        return _json_events
    columns = settings.events.columns
    separator = settings.events.separator or ("," if settings.events.format == "csv" else "\t")
    encoding = settings.events.encoding

    def rows(payload: bytes) -> Iterator[Mapping[str, Any]]:
        for row in csv.reader(io.StringIO(payload.decode(encoding, "replace")), delimiter=separator):
            yield dict(zip(columns, row, strict=False))

    return rows


def _json_events(payload: bytes) -> Iterator[Mapping[str, Any]]:
    """One event, an array of them, or lines; what is no JSON was a dead letter then, and matches nothing."""
    try:
        found = orjson.loads(payload)
        events = found if isinstance(found, list) else [found]
    except orjson.JSONDecodeError:
        try:
            events = [orjson.loads(line) for line in payload.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            return
    yield from (event for event in events if isinstance(event, dict))
