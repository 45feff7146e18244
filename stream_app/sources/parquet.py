"""Rows of Parquet files as flat JSON events. The only file that knows pyarrow, which is an optional package."""

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from stream_app.sources.source import SourceError

BATCH_ROWS = 1_024


class ParquetRows:
    """The rows of a file, read in constant memory: some pages of one row group at a time.

    Numbers stay numbers, booleans booleans, text text; a list of text is a bag of tokens; null is missing. Times are
    ISO 8601 text to the microsecond, as CSV would have them; a time with a zone is told in UTC. Durations are seconds.
    A row with a number that is not finite becomes a payload that no decoder takes, as JSON has no such numbers.
    Raises SourceError for a column of another type, for a damaged file, and where pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = 0
        self._all_rows = 0
        self._size_bytes = 0

    @property
    def consumed_bytes(self) -> int:
        """How far the file has been read: as much of its bytes as of its rows."""
        return int(self._size_bytes * self._rows / self._all_rows) if self._all_rows else 0

    def __iter__(self) -> Generator[bytes]:
        arrow = _pyarrow()
        self._size_bytes = self._path.stat().st_size
        try:
            with closing(arrow.parquet.ParquetFile(self._path, pre_buffer=False)) as file:
                self._all_rows = file.metadata.num_rows
                wanted = _wanted(arrow, file.schema_arrow, self._path)
                for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                    yield from _payloads(arrow, batch.cast(wanted, safe=False))
                    self._rows += batch.num_rows
        except (
            arrow.ArrowException,
            OSError,
            OverflowError,
            ValueError,
        ) as error:  # the last two: dates that Python has not
            why = f"{error}".partition("\n")[0] or type(error).__name__
            raise SourceError(f"file {self._path} cannot be read: {why}") from error


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise SourceError(
            "Parquet files need pyarrow, which is not installed: run pip install 'weir[parquet]'"
        ) from error
    return pyarrow


def _wanted(arrow: Any, schema: Any, path: Path) -> Any:
    """The columns as they are turned into JSON. Raises SourceError for one that no flat event can hold."""
    twice = [name for number, name in enumerate(schema.names) if name in schema.names[:number]]
    if twice:
        raise SourceError(f"file {path}: two columns are named {twice[0]!r}; rename one")
    return arrow.schema([arrow.field(column.name, _type(arrow, column, path)) for column in schema])


def _type(arrow: Any, column: Any, path: Path) -> Any:
    is_, kind = arrow.types, column.type
    if is_.is_dictionary(kind):
        kind = kind.value_type
    if is_.is_timestamp(kind):
        return arrow.timestamp("us", "UTC" if kind.tz is not None else None)
    if is_.is_time(kind) or is_.is_duration(kind):
        return arrow.time64("us") if is_.is_time(kind) else arrow.duration("us")
    plain = (is_.is_boolean, is_.is_integer, is_.is_floating, is_.is_decimal, is_.is_date, is_.is_null)
    if any(test(kind) for test in plain) or _is_text(arrow, kind):
        return kind
    if (is_.is_list(kind) or is_.is_large_list(kind)) and _is_text(arrow, kind.value_type):
        return kind
    raise SourceError(
        f"file {path}: column {column.name!r} is {kind}; expected numbers, text, booleans, times or lists of text: "
        "flatten it, or leave it out of the file"
    )


def _is_text(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or arrow.types.is_string_view(kind))


def _payloads(arrow: Any, batch: Any) -> Iterator[bytes]:
    endless = _rows_not_finite(arrow, batch)
    for number, row in enumerate(batch.to_pylist()):
        yield json.dumps(row, default=_plain).encode() if number in endless else orjson.dumps(row, default=_plain)


def _rows_not_finite(arrow: Any, batch: Any) -> set[int]:
    rows: set[int] = set()
    for column in batch.columns:
        if arrow.types.is_floating(column.type):
            is_bad = arrow.compute.fill_null(arrow.compute.invert(arrow.compute.is_finite(column)), False)
            rows.update(arrow.compute.indices_nonzero(is_bad).to_pylist())
    return rows


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.total_seconds() if isinstance(value, timedelta) else str(value)
