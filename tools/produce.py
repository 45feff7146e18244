"""`weir produce`: send the events of files to a service or a log, durably, at a chosen rate."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Protocol

import click
import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.config import ConfigError, Settings
from stream_app.http.client import Client
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import Source
from tools import bundled

BATCH = 500


class Sink(Protocol):
    """Where events go; `append` returns once they are durable."""

    async def append(self, payloads: list[bytes]) -> None:
        """Append all of them, or raise."""
        ...


class ServiceSink:
    """Posts events to a running service."""

    def __init__(self, client: Client, separator: bytes) -> None:
        self._client = client
        self._separator = separator

    async def append(self, payloads: list[bytes]) -> None:
        await self._client.post("/events", self._separator.join(payloads))


class LogSink:
    """Appends to a source of this process."""

    def __init__(self, log: Source) -> None:
        self._log = log

    async def append(self, payloads: list[bytes]) -> None:
        await self._log.append(payloads)


@click.command(epilog="Example: weir produce river:Shuttle --to http://127.0.0.1:8080 --rate 2000")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@config_option
@json_option
@click.option("--to", "to", required=True, metavar="URL", help="http://HOST:PORT of a service, or log:DIR.")
@click.option("--rate", type=float, help="Events per second; default as fast as they are taken.")
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
    rate: float | None,
    first: int,
    limit: int | None,
    is_flipped: bool,
) -> None:
    """Send the events of FILEs, as events.format says they are written; FILE may be river:NAME, a bundled data set."""
    settings = configuration.load(config)
    with ExitStack() as opened:
        payloads: Iterator[bytes] = itertools.islice(
            _payloads(settings, files, opened), first, None if limit is None else first + limit
        )
        if is_flipped:
            payloads = map(_flipped, payloads)
        sent, seconds = asyncio.run(_send(settings, payloads, to, rate, limit))
    if is_json:
        print_json({"events": sent, "seconds": seconds})
    else:
        click.echo(f"{sent} events in {seconds:.1f} s", err=True)


async def _send(
    settings: Settings, payloads: Iterable[bytes], to: str, rate: float | None, limit: int | None
) -> tuple[int, float]:
    async with AsyncExitStack() as opened:
        sink = await _sink(settings, to, opened)
        bar = Progress(TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), transient=True)
        with bar:
            task = bar.add_task("events", total=limit)
            return await feed(sink, payloads, rate, lambda sent: bar.update(task, completed=sent))


async def feed(sink: Sink, payloads: Iterable[bytes], rate: float | None, tell: "Tell") -> tuple[int, float]:
    """Send all payloads, at most `rate` a second; returns how many and in how many seconds."""
    started, sent = time.perf_counter(), 0
    remaining = iter(payloads)
    size = BATCH if rate is None else max(1, min(BATCH, int(rate / 20)))
    while batch := list(itertools.islice(remaining, size)):
        await sink.append(batch)
        sent += len(batch)
        tell(sent)
        if rate is not None:
            await asyncio.sleep(max(0.0, started + sent / rate - time.perf_counter()))
    return sent, time.perf_counter() - started


class Tell(Protocol):
    """Told how many events were sent so far."""

    def __call__(self, sent: int, /) -> None: ...


async def _sink(settings: Settings, to: str, opened: AsyncExitStack) -> Sink:
    if to.startswith(("http://", "https://")):
        client = await opened.enter_async_context(Client(to, settings.http.token))
        return ServiceSink(client, b"\n\n" if settings.events.format == "vw" else b"\n")
    if to.startswith("log:"):
        source = configuration.replaced(settings, "source", url=to).source
        log = EmbeddedLog(to.removeprefix("log:"), partitions=source.partitions)
        opened.push_async_callback(log.close)
        return LogSink(log)
    raise ConfigError(f"--to: {to!r}: expected http://HOST:PORT of a service, or log:DIR")


def _payloads(settings: Settings, files: tuple[str, ...], opened: ExitStack) -> Iterator[bytes]:
    if settings.events.format in ("csv", "tsv") and not settings.events.columns:
        raise ConfigError(
            "events.columns: required to send CSV, as rows travel without their header: name the columns in weir.toml"
        )
    format_ = wiring.build_format(settings, wiring.build_learner(settings).traits)
    for file in files:
        if file.startswith("river:"):
            yield from bundled.events(file.removeprefix("river:"))
            continue
        try:
            stream = opened.enter_context(Path(file).open("rb"))  # noqa: SIM115 it is closed with `opened`
        except FileNotFoundError as error:
            raise ConfigError(f"{file}: no such file") from error
        yield from format_.split(stream)


def _flipped(payload: bytes) -> bytes:
    """The event with the opposite label. Raises ConfigError where there is no binary label to flip."""
    opposite = {1: 0, 0: 1, -1: 1}
    try:
        event = orjson.loads(payload)
        return orjson.dumps(event | {"label": opposite[event["label"]]})
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"--flip-labels: no binary label in {payload[:80]!r}") from error
