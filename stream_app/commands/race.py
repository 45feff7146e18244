"""`weir race`: which learner is best on the log or on files, and how sure that is."""

import asyncio
import sys
from collections.abc import AsyncIterator

import click
from rich.table import Table

from checkpoints.checkpoint import Note
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.cells import readable
from stream_app.commands.options import config_option, format_option, json_option, print_json
from stream_app.commands.progress_bar import records_bar
from stream_app.commands.terminal import console
from stream_app.file_formats import format_of
from stream_app.race import Leaderboard, Race, entries_of
from stream_app.settings import Settings
from stream_app.sources.file import FileSource
from stream_app.sources.source import Records, Source

BATCH = 128


@click.command(epilog="Example: weir race flights.csv --learner 'vw: -l {l}' --each l=0.1,0.5 --learner 'vw: --ftrl'")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@config_option
@json_option
@format_option("How events of FILEs are written; default events.format, else as the name tells.")
@click.option("--learner", "learners", multiple=True, required=True, metavar="KIND: ARGS", help="Of vw or river.")
@click.option("--each", multiple=True, metavar="NAME=V1,V2", help="One learner for each value of {NAME} in ARGS.")
@click.option("--limit", type=click.IntRange(min=1), help="Learn so many records. Default all.")
@click.option("--every", type=click.IntRange(min=1), help="Show the leaderboard after every so many records too.")
@click.option("--keep", "is_kept", is_flag=True, help="Keep the models in the store, beside the lineage.")
def race(
    files: tuple[str, ...], config: str | None, is_json: bool, format_: str | None, learners: tuple[str, ...],
    each: tuple[str, ...], limit: int | None, every: int | None, is_kept: bool,
) -> None:  # fmt: skip
    """Let learners learn FILEs, or the log, side by side, and rank them by progressive loss.

    Intervals hold at every look (95 %), so you may stop as soon as one is surely worse. All are compared by the same
    loss: log loss, squared loss, or wrong classes.
    """
    settings = configuration.load(config)
    written = format_of(list(files), config, format_) if files else format_
    if written is not None:
        settings = configuration.replaced(settings, "events", format=written)
    found = Race(settings, entries_of(learners, each))
    asyncio.run(_run(settings, found, files, limit, every))
    models = _kept(settings, found) if is_kept else []
    board = found.board(models)
    print_json(board) if is_json else _print(board)
    if not board.examples and any(one.refused for one in board.standings):
        raise click.exceptions.Exit(1)


async def _run(settings: Settings, found: Race, files: tuple[str, ...], limit: int | None, every: int | None) -> None:
    passed = 0
    with records_bar("racing") as tell:

        def told(count: int) -> None:
            nonlocal passed
            before, passed = passed, passed + count
            tell(count)
            if every is not None and before // every != passed // every:
                _print(found.board(), is_aside=True)

        split = found.lanes[0].trainer.parts.format.split
        source: Source = FileSource(list(files), split) if files else wiring.build_view(settings)
        try:
            await found.run(_records(source, limit, bool(files)), told)
        finally:
            await source.close()


async def _records(source: Source, limit: int | None, is_bounded: bool) -> AsyncIterator[Records]:
    """What the source holds now, at most so many records."""
    ends = source.end()
    left = limit if limit is not None else sys.maxsize
    if not is_bounded:
        left = min(left, sum(ends.values()) - sum(source.start().values()))
    if left <= 0:
        return
    async for records in source.read({}, [], BATCH):
        if not records.payloads:
            return
        cut = records.payloads[:left]
        left -= len(cut)
        yield Records(records.partition, records.offset, cut, records.time_s)
        if left <= 0:
            return


def _kept(settings: Settings, found: Race) -> list[str]:
    store = wiring.build_store(settings)
    ids = []
    for lane in found.lanes:
        checkpoint = lane.trainer.snapshot().checkpoint()
        note = Note.now(f"race: {lane.name}", checkpoint.manifest.versions["weir"], is_pinned=True)
        ids.append(store.keep(checkpoint, note))
    return ids


def _print(board: Leaderboard, is_aside: bool = False) -> None:
    table = Table("", "learner", board.metric, "95 %", "behind", "95 %", "", box=None, padding=(0, 2, 0, 0))
    for one in board.standings:
        table.add_row(
            str(one.rank),
            readable(one.learner),
            _shown(one.loss),
            _range(one.low, one.high),
            _shown(one.behind) if one.rank > 1 else "",
            _range(one.behind_low, one.behind_high) if one.rank > 1 else "",
            "surely worse" if one.is_surely_worse else "",
        )
        if one.model is not None:
            table.add_row("", f"  {one.model}")
    out = console(is_aside)
    out.print(table)
    out.print(f"{board.examples:,} labelled examples")
    for one in board.standings:
        if one.refused:
            why = f"first {one.why}; they are compared for none"
            out.print(readable(f"{one.refused:,} refused by {one.learner}, {why}"))


def _shown(value: float | None) -> str:
    return f"{value:.6f}" if value is not None else "n.a."


def _range(low: float | None, high: float | None) -> str:
    return f"{low:.4f} to {high:.4f}" if low is not None and high is not None else "n.a."
