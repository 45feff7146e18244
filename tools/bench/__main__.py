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

from tools.bench import convert, follow, kafka, learn, memory, predict, recover, swaps, watch
from tools.bench.broker import RunBroker
from tools.bench.machine import machine
from tools.bench.report import Results, as_json, print_table
from tools.bench.row import BenchError, Row, Run
from tools.bench.stream import prepare
from tools.kafka import KafkaError

SUBJECTS = (learn, predict, convert, recover, memory, follow, swaps, watch, kafka)
ROWS = {row.name: row for subject in SUBJECTS for row in subject.rows()}


@click.command(epilog="Example: python -m tools.bench --only json-log --only river --json bench.json")
@click.option("--json", "json_path", metavar="FILE", help="Write the figures to this file as JSON.")
@click.option("--quick", "is_quick", is_flag=True, help="Fewer and shorter measurements: minutes become seconds.")
@click.option("--only", multiple=True, type=click.Choice(list(ROWS)), help="Measure this row; may be repeated.")
def main(json_path: str | None, is_quick: bool, only: tuple[str, ...]) -> None:
    """Measure Weir and bare references by turns, in one run, and print a table. Exit code 0 even if a target is missed.

    Takes about eight minutes, with --quick two.
    """
    chosen = [row for name, row in ROWS.items() if not only or name in only]
    began, about = time.perf_counter(), {"machine": machine(), "is_quick": is_quick}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name, RunBroker(Path(name, "kafka")) as broker:
        run = Run(Path(name), prepare(Path(name)), broker, is_quick, lambda text: None)
        try:
            results, left_out = _measured(chosen, run)
        except BenchError as error:
            raise click.ClickException(str(error)) from error
    stream = run.stream
    about["stream"] = f"{stream.name}, {stream.events:,} events, {stream.features:.1f} features an event"
    about["seconds"] = round(time.perf_counter() - began, 1)
    about["left_out"] = left_out
    if json_path is not None:
        found = orjson.dumps(as_json(results, about), default=msgspec.to_builtins, option=orjson.OPT_INDENT_2)
        Path(json_path).write_bytes(found + b"\n")
    print_table(results, about)
    for reason in dict.fromkeys(left_out.values()):
        names = ", ".join(name for name, found in left_out.items() if found == reason)
        click.echo(f"left out: {names}: {reason}")


def _measured(rows: list[Row], run: Run) -> tuple[Results, dict[str, str]]:
    """What each row gave, and why others could not be measured here: a broker needs what is not everywhere."""
    console = Console(stderr=True)
    results, left_out = [], {}
    with console.status("preparing") as status:
        for row in rows:
            told = msgspec.structs.replace(run, say=_teller(status, row.name))
            try:
                results.append((row, row.measure(told)))
            except KafkaError as error:
                left_out[row.name] = str(error)
    return results, left_out


def _teller(status: Status, name: str) -> Callable[[str], None]:
    return lambda text: status.update(f"{name}: {text}")


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)  # so that children and folders are cleaned up as on Ctrl-C
    main()
