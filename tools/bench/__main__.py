"""`python -m tools.bench`: measure, print a table, write JSON."""

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click
import msgspec
import orjson
from rich.console import Console
from rich.status import Status

from tools.bench import convert, learn, memory, predict, recover
from tools.bench.machine import machine
from tools.bench.report import Results, as_json, print_table
from tools.bench.row import BenchError, Row, Run
from tools.bench.stream import Stream, prepare

ROWS = {row.name: row for subject in (learn, predict, convert, recover, memory) for row in subject.rows()}


@click.command(epilog="Example: python -m tools.bench --only json-log --only river --json bench.json")
@click.option("--json", "json_path", metavar="FILE", help="Write the figures to this file as JSON.")
@click.option("--quick", "is_quick", is_flag=True, help="Fewer and shorter measurements: minutes become seconds.")
@click.option("--only", multiple=True, type=click.Choice(list(ROWS)), help="Measure this row; may be repeated.")
def main(json_path: str | None, is_quick: bool, only: tuple[str, ...]) -> None:
    """Measure Weir and bare references by turns, in one run, and print a table. Exit code 0 even if a target is missed.

    Takes about six minutes, with --quick a minute and a half.
    """
    chosen = [row for name, row in ROWS.items() if not only or name in only]
    began, about = time.perf_counter(), {"machine": machine(), "is_quick": is_quick}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        stream = prepare(Path(folder))
        try:
            results = _measured(chosen, Path(folder), stream, is_quick)
        except BenchError as error:
            raise click.ClickException(str(error)) from error
    about["stream"] = f"{stream.name}, {stream.events:,} events, {stream.features:.1f} features an event"
    about["seconds"] = round(time.perf_counter() - began, 1)
    if json_path is not None:
        found = orjson.dumps(as_json(results, about), default=msgspec.to_builtins, option=orjson.OPT_INDENT_2)
        Path(json_path).write_bytes(found + b"\n")
    print_table(results, about)


def _measured(rows: list[Row], folder: Path, stream: Stream, is_quick: bool) -> Results:
    console = Console(stderr=True)
    results = []
    with console.status("preparing") as status:
        for row in rows:
            results.append((row, row.measure(Run(folder, stream, is_quick, _teller(status, row.name)))))
    return results


def _teller(status: Status, name: str) -> Callable[[str], None]:
    return lambda text: status.update(f"{name}: {text}")


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)  # so that children and folders are cleaned up as on Ctrl-C
    main()
