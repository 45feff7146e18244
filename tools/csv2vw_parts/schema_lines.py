"""`--schema`: what `weir train` would learn from, made by the very code that it decodes rows with."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice
from typing import BinaryIO, cast

import msgspec
import orjson

from formats.csv_row import CsvRow
from formats.example import Dead, Example, Value
from learners.learner import LearnerError
from stream_app.config import load, replaced
from stream_app.settings import ConfigError, Settings
from stream_app.wiring import build_format, build_learner
from tools.csv2vw_parts.bad_rows import BadRows
from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.modern_options import Options
from tools.csv2vw_parts.row_chunks import chunks, opened, row_encoding, rows

CSV = ("csv", "tsv")
BATCH = 1024


class SchemaLines:
    """The lines of files under the `[schema]` and `[events]` of a configuration."""

    def __init__(self, options: Options, bad: BadRows) -> None:
        self._is_json = options.is_json
        self._bad = bad
        try:
            self._settings = _settings(str(options.schema))
            self._format = _format(self._settings, options.is_json)
        except (ConfigError, LearnerError) as error:
            raise ConversionStopped(f"csv2vw: --schema: {error}") from error
        events = self._settings.events
        self._has_quotes = events.format == "csv" if events.quoting is None else events.quoting
        self._has_header = options.has_header
        if not options.has_header and not events.columns:
            raise ConversionStopped(f"csv2vw: --no-header: {options.schema} must name the columns: [events] columns")

    def convert(self, paths: list[str]) -> Iterator[bytes]:
        """Yield the lines, many at once. Raises ConversionStopped."""
        for path in paths:
            with opened(path, row_encoding(self._settings.events.encoding)) as stream:
                numbered = self._rows(path, stream)
                while batch := list(islice(numbered, BATCH)):
                    yield from self._batch(path, batch)

    def _rows(self, path: str, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """The rows after the header, each with its line."""
        is_first = self._has_header
        for chunk in chunks(stream, self._has_quotes):
            if chunk.fault:
                self._bad.add(path, chunk.line, f"{chunk.fault}; events.quoting = false reads quotes as text")
                continue
            for line, row in rows(chunk, self._has_quotes):
                if is_first and self._is_header(path, line, row):
                    is_first = False
                    continue
                is_first = False
                yield line, row

    def _is_header(self, path: str, line: int, row: bytes) -> bool:
        try:
            return not list(self._format.split(BytesIO(row + b"\n")))
        except ValueError as error:
            raise ConversionStopped(f"csv2vw: {path}:{line}: {error}") from error

    def _batch(self, path: str, batch: list[tuple[int, bytes]]) -> Iterator[bytes]:
        decoded = self._format.decode([row for _, row in batch])
        written, examples = 0, decoded.examples
        for passed, dead in enumerate(decoded.dead):
            yield self._lines(examples[written : dead.index - passed])
            written = dead.index - passed
            self._tell(path, batch, dead)
        yield self._lines(examples[written:])

    def _tell(self, path: str, batch: list[tuple[int, bytes]], dead: Dead) -> None:
        self._bad.add(path, batch[dead.index][0], dead.reason)

    def _lines(self, examples: Sequence[Example]) -> bytes:
        if self._is_json:
            homes = [home for column in self._format.columns if (home := self._settings.schema.home(column))]
            return b"".join([_event(example, homes) for example in examples])
        return b"".join([example.text + b"\n" for example in examples])


def _settings(path: str) -> Settings:
    settings = load(path)
    return settings if settings.events.format in CSV else replaced(settings, "events", format=CSV[0])


def _format(settings: Settings, is_json: bool) -> CsvRow:
    traits = build_learner(settings).traits
    format_ = build_format(settings, msgspec.structs.replace(traits, reads="features" if is_json else "text"))
    return cast(CsvRow, format_)


def _event(example: Example, homes: Sequence[tuple[str, str]]) -> bytes:
    """The event of an example whose features have these homes; what is missing is null, so that its place stays."""
    event: dict[str, object] = {}
    if example.id is not None:
        event["id"] = example.id
    if example.time_s is not None:
        event["ts"] = example.time_s
    if example.label is not None:
        event["label"] = example.label
    if example.weight != 1.0:
        event["weight"] = example.weight
    features: dict[str, dict[str, Value]] = {}
    for namespace, name in homes:
        features.setdefault(namespace, {})[name] = example.features.get(namespace, {}).get(name)
    event["features"] = features
    return orjson.dumps(event) + b"\n"
