"""`weir produce`: send the events of files to a service or a log, durably, at a chosen rate."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
import msgspec
import orjson

from formats.format import Format
from formats.numbers import written
from formats.schema import Schema
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.progress_bar import progress_bar
from stream_app.file_formats import format_of
from stream_app.http.client import Client, ClientError
from stream_app.settings import ConfigError, Settings
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.file import FileSource, Split
from stream_app.sources.source import SourceError
from tools import bundled
from tools.sent import Sending, SentJournal
from tools.sinks import BATCH, CountedSink, JournaledSink, LogSink, ServiceSink, Sink, feed

BUNDLED = "river:"


class Events:
    """The events of files and bundled data sets, in order, and how much of the files has been read."""

    def __init__(self, files: Sequence[str], split: Split) -> None:
        self._parts = [(file, None if file.startswith(BUNDLED) else FileSource(file, split)) for file in files]
        self._sources = [source for _, source in self._parts if source is not None]
        self._read = [0] * len(files)

    @property
    def size_bytes(self) -> int:
        return sum(source.size_bytes for source in self._sources)

    @property
    def consumed_bytes(self) -> int:
        return sum(source.consumed_bytes for source in self._sources)

    def __iter__(self) -> Iterator[bytes]:
        for index in range(len(self._parts)):
            for payload in self._of(index):
                self._read[index] += 1
                yield payload

    def place(self, events: int) -> str:
        """Where the last of so many events stands, among those that were read."""
        for (file, _), read in zip(self._parts, self._read, strict=True):
            if events <= read:
                return f"event {events} of {file}"
            events -= read
        return "the end"

    def _of(self, index: int) -> Iterator[bytes]:
        file, source = self._parts[index]
        if source is None:
            yield from bundled.events(file.removeprefix(BUNDLED))
            return
        for records in source.batches(BATCH):
            yield from records.payloads


class Job(msgspec.Struct, frozen=True):
    """What to send, and how."""

    settings: Settings
    sending: Sending
    rate: float | None
    is_resumed: bool


@click.command(epilog="Example: weir produce river:Shuttle --to http://127.0.0.1:8080 --rate 2000")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@config_option
@json_option
@click.option(
    "--to",
    "to",
    required=True,
    metavar="URL",
    help="http://HOST:PORT of a service, log:DIR, or kafka://HOST:PORT/TOPIC.",
)
@click.option(
    "--resume", "is_resumed", is_flag=True, help="Note what is sent, and go on from there when it was killed."
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Events per second; default as fast as they are taken."
)
@click.option("--first", type=int, default=0, help="Leave out this many events at the beginning. Default 0.")
@click.option("--limit", type=int, help="Send at most this many events; default all.")
@click.option(
    "--flip-labels", "is_flipped", is_flag=True, help="JSON: send the opposite of each binary label, as poison."
)
def produce(
    files: tuple[str, ...],
    config: str | None,
    is_json: bool,
    to: str,
    is_resumed: bool,
    rate: float | None,
    first: int,
    limit: int | None,
    is_flipped: bool,
) -> None:
    """Send the events of FILEs, plain or packed; FILE may be river:NAME, a bundled data set.

    They are written as events.format says, or else as the names of the files tell. With --resume, given from the
    beginning, the same command goes on after a kill: in a log, no event is missing or there twice.
    """
    sending = Sending(to, files, first, limit, is_flipped)
    sent, seconds = asyncio.run(_send(Job(_settings(config, files), sending, rate, is_resumed)))
    if is_json:
        print_json({"events": sent, "seconds": seconds})
    else:
        click.echo(f"{sent} events in {seconds:.1f} s", err=True)


def _settings(config: str | None, files: Sequence[str]) -> Settings:
    settings = configuration.load(config)
    names = [file for file in files if not file.startswith(BUNDLED)]
    format_ = format_of(names, config) if names else None
    if format_ == "json" and settings.events.format != "json":
        raise ConfigError(f"events.format: {settings.events.format!r}, but rows of Parquet are sent as json; set it so")
    if format_ is not None:
        settings = configuration.replaced(settings, "events", format=format_)
    if names and settings.events.format in ("csv", "tsv") and not settings.events.columns:
        raise ConfigError(
            "events.columns: required to send CSV, as rows travel without their header: name the columns in weir.toml"
        )
    return settings


async def _send(job: Job) -> tuple[int, float]:
    settings, sending = job.settings, job.sending
    journal = SentJournal(Path(settings.state.dir, "produced"), sending) if job.is_resumed else None
    format_ = wiring.build_format(settings, wiring.build_learner(settings).traits)
    events = Events(sending.files, format_.split)
    last = None if sending.limit is None else sending.first + sending.limit
    payloads: Iterator[bytes] = itertools.islice(events, sending.first, last)
    if sending.is_flipped:
        payloads = map(Flip(settings.schema), payloads)
    async with AsyncExitStack() as opened:
        sink, log = await _sink(settings, sending.to, format_, opened)
        sink = counted = CountedSink(sink)
        known = journal.sent.events if journal is not None else 0
        try:
            with progress_bar("sending") as tell:
                if journal is not None:
                    sink = journaled = JournaledSink(sink, journal, log)
                    sent_before = await journaled.pass_over_sent(payloads)
                    click.echo(f"weir: going on after event {sent_before}", err=True) if sent_before else None
                sent = await feed(sink, payloads, job.rate, lambda sent: tell(events.consumed_bytes, events.size_bytes))
        except (ClientError, SourceError) as error:
            said = f"{error}; {_how_far(sending, known + counted.events, events, journal is not None)}"
            raise ClientError(said) from error
    if journal is not None:
        journal.finish()
    return sent


def _how_far(sending: Sending, acknowledged: int, events: Events, is_resumed: bool) -> str:
    """What had arrived when sending was cut off, and how to go on."""
    if not acknowledged:
        return "no event was acknowledged"
    first = sending.first + acknowledged
    if is_resumed:
        how = "the same command goes on from there"
    else:
        rest = f" --limit {sending.limit - acknowledged}" if sending.limit is not None else ""
        how = f"--first {first}{rest} goes on from there; begun with --resume, the same command does so by itself"
    arrived = "events that came after them may have arrived too"
    return f"{acknowledged} events were acknowledged, the last is {events.place(first)} ({arrived}); {how}"


async def _sink(
    settings: Settings, to: str, format_: Format, opened: AsyncExitStack
) -> tuple[Sink, EmbeddedLog | None]:
    if to.startswith(("http://", "https://")):
        client = await opened.enter_async_context(Client(to, settings.http.token))
        return ServiceSink(client, b"\n\n" if settings.events.format == "vw" else b"\n"), None
    settings = configuration.replaced(settings, "source", url=to)
    try:
        wiring.source_place(settings)
    except ConfigError as error:
        raise ConfigError(
            f"--to: {to!r}: expected http://HOST:PORT of a service, or a source such as log:DIR"
        ) from error
    source = wiring.build_source(settings, format_)
    opened.push_async_callback(source.close)
    return LogSink(source), source if isinstance(source, EmbeddedLog) else None


class Flip:
    """Gives events with the opposite label: the field and the names of the schema, or else 1, 0 and -1 of `label`."""

    def __init__(self, schema: Schema) -> None:
        """Raises ConfigError where the names stand for other than two values."""
        self._field, names = schema.label or "label", schema.labels
        self._opposite: dict[object, object] = {1: 0, 0: 1, -1: 1, "1": "0", "0": "1", "-1": "1"}
        if names:
            if len(set(names.values())) != 2:
                raise ConfigError(f"--flip-labels: expected names of two labels in schema.labels, got {sorted(names)}")
            self._opposite = {name: next(n for n in names if names[n] != names[name]) for name in names}

    def __call__(self, payload: bytes) -> bytes:
        """Raises ConfigError where there is no such label."""
        try:
            event = orjson.loads(payload)
            features = event.get("features")
            if isinstance(features, dict) and event.get("label") is None:
                return orjson.dumps(event | {"features": self._flipped(features, self._field)})
            is_flat = features is None and self._field in event
            return orjson.dumps(self._flipped(event, self._field if is_flat else "label"))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"--flip-labels: no binary label in {payload[:80]!r}") from error

    def _flipped(self, event: dict[str, object], field: str) -> dict[str, object]:
        label = event[field]
        if label not in self._opposite and isinstance(label, int | float):
            label = written(label)
        return event | {field: self._opposite[label]}
