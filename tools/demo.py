"""`weir demo`: the service on real events that ship inside river's wheel, learning before your eyes."""

import asyncio
import contextlib

import click
import msgspec
import uvloop

from stream_app import config as configuration
from stream_app.commands.options import json_option, print_json
from stream_app.progressive import HEADER, format_row
from stream_app.progressive.scores import part
from stream_app.running import run
from stream_app.service import Service
from stream_app.serving import Asked
from stream_app.settings import Settings
from stream_app.sources.source import SourceError
from tools import bundled
from tools.sinks import BATCH, LogSink, feed

DATA_SET = "Shuttle"
RATE = 5_000.0

ASKED_EVERY = 100
"""One event in so many is predicted over `/predict` first, and learnt when its label comes, as users would do it."""

CELLS = [
    {"actual": actual, "predicted": predicted, "value": value}
    for actual, predicted, value in ((0, 0, 0.0), (0, 1, -20.0), (1, 0, -100.0), (1, 1, 80.0))
]
"""What an alarm is worth: a true one saves a hundred and costs twenty, as a false one does."""


@click.command(epilog="Example: weir demo --once")
@json_option
@click.option("--once", "is_once", is_flag=True, help="Learn everything at full speed, print a summary and end.")
@click.option("--dir", "folder", default="data/demo", help="Where log, checkpoints and state go. Default data/demo.")
@click.option("--port", type=int, default=8080, help="Port of the service; 0 takes a free one. Default 8080.")
@click.option("--rate", type=float, help="Events per second; default 5000, with --once as fast as they are taken.")
def demo(is_json: bool, is_once: bool, folder: str, port: int, rate: float | None) -> None:
    """Learn the 49,097 events of river's Shuttle data set from an embedded log, with VW, and serve the live model.

    Run again, it goes on where it was: the log and the checkpoints stay in --dir.
    """
    settings = configuration.of(
        {
            "model": {"name": "shuttle"},
            "deploy": {"tag": "shuttle.production"},
            "value": {"cells": CELLS},
            "source": {"url": f"log:{folder}/log"},
            "checkpoints": {"url": f"{folder}/checkpoints", "every_s": 5.0},
            "state": {"dir": f"{folder}/state"},
            "http": {"port": port},
        }
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(_demo(Demo(settings, is_once, RATE if rate is None and not is_once else rate)))
    if is_json:
        print_json(summary)
    else:
        _print_summary(summary)


class Demo(msgspec.Struct, frozen=True):
    """How the demo runs."""

    settings: Settings
    is_once: bool
    rate: float | None


class AskingSink:
    """Appends, but for some events that it has predicted first, and labelled once the others are in the log."""

    def __init__(self, service: Service) -> None:
        self._serving = service.serving
        self._monitor = service.monitor
        self._log = service.source

    async def append(self, payloads: list[bytes]) -> None:
        """All of them, in this order but for those that are asked about, which come last."""
        asked = payloads[::ASKED_EVERY]
        labels = {}
        for payload in asked:
            event = msgspec.json.decode(payload)
            labels[event["id"]] = event.pop("label")
            with self._monitor.timed("predict"):
                self._serving.predict(msgspec.json.encode(event), Asked())
        told = [payload for number, payload in enumerate(payloads) if number % ASKED_EVERY]
        if told:
            await self._log.append(told)
        for event_id, label in labels.items():
            await self._serving.label(event_id, label)


async def _demo(demo: Demo) -> dict[str, object]:
    service = Service(demo.settings)
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(_feed(service, started, demo)), asyncio.create_task(_show(service, started))]
    try:
        await run(service, started.set_result)
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return _summary(service)


async def _feed(service: Service, started: asyncio.Future[int], demo: Demo) -> None:
    """Send what is not learnt yet; with --once, end the service when all of it is. What cannot be sent ends it, too.

    A call that was cut off may have left some of its events out: all that it may have had are sent again, and those
    that are in the log by then are dropped by their ids.
    """
    await started
    await _caught_up(service)
    events, learnt = list(bundled.events(DATA_SET)), service.trainer.parts.progressive.examples
    if learnt < len(events):
        sink = LogSink(service.source) if demo.is_once else AskingSink(service)
        try:
            await feed(sink, events[max(0, learnt - BATCH) :], demo.rate, lambda sent: None)
        except SourceError:
            if service.is_stopping:
                return
            service.stop()
            raise
    await _caught_up(service)
    if demo.is_once:
        service.stop()
    else:
        click.echo("everything is learnt; still serving, Ctrl-C ends", err=True)


async def _caught_up(service: Service) -> None:
    while service.lag:  # noqa: ASYNC110 the service announces nothing
        await asyncio.sleep(0.05)


async def _show(service: Service, started: asyncio.Future[int]) -> None:
    """Print the rows of the progressive table as they come."""
    port = await started
    click.echo(f"serving on http://{service.settings.http.host}:{port}, learning {DATA_SET}\n{HEADER}", err=True)
    printed = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            printed = _print_rows(service, printed)
            await asyncio.sleep(0.1)
    _print_rows(service, printed)


def _print_rows(service: Service, printed: int) -> int:
    rows = service.trainer.parts.progressive.table()
    for row in rows[printed:]:
        click.echo(format_row(row), err=True)
    return len(rows)


def _summary(service: Service) -> dict[str, object]:
    report = service.trainer.parts.progressive.report()
    figures = part(report, "total")
    names = ("examples", "average_loss", "accuracy", "f1", "roc_auc")
    baselines = figures.get("baselines")
    return {
        **{name: figures.get(name) for name in names},
        "baselines": baselines,
        "beaten_by": report["beaten_by"],
        "dead_letters": service.trainer.counts.dead_letters,
        "checkpoint": service.store.head(),
    }


def _print_summary(summary: dict[str, object]) -> None:
    for name, value in summary.items():
        click.echo(f"{name.replace('_', ' '):>14}: {value if not isinstance(value, float) else f'{value:.6f}'}")
