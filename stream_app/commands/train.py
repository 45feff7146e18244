"""`weir train`: learn files to their end, as VW does."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from stream_app import config as configuration
from stream_app.commands.options import config_option, format_option, json_option, print_json
from stream_app.commands.progress_bar import progress_bar
from stream_app.commands.stopping import stopping
from stream_app.file_formats import format_of
from stream_app.settings import ConfigError, Settings
from stream_app.summary import Trained
from stream_app.training import TrainJob
from stream_app.training import train as learn_files


@click.command(
    epilog='Example: weir train flights.vw --format vw --vw-args "--loss_function logistic -q ff" --out models'
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@config_option
@json_option
@format_option("How events are written; default events.format, else as the names of the files tell.")
@click.option("--vw-args", metavar="ARGS", help="Arguments of VW; default learner.args.")
@click.option("--label", metavar="COLUMN", help="CSV: the column of the label; default schema.label.")
@click.option("--labels", metavar="NAME=NUMBER,...", help="What label values are learnt as; default schema.labels.")
@click.option("--out", metavar="DIR", help="Keep the model as checkpoints in this folder.")
@click.option(
    "--backfill", "is_backfill", is_flag=True, help="Keep it in checkpoints.url, where weir serve goes on from it."
)
@click.option("--resume", "is_resumed", is_flag=True, help="Go on where a killed backfill was; begin where none was.")
@click.option(
    "--live-from",
    metavar="PLACE",
    help="Where weir serve goes on in the source: start, end (as it is now), or PARTITION:OFFSET,... Default start.",
)
@click.option(
    "--dead-letters",
    metavar="FILE",
    help="Keep what could not be learnt here, as JSON lines; default dead_letters.jsonl beside kept checkpoints.",
)
@click.option("-p", "--predictions", metavar="FILE", help="Write the prediction made before each update, one a line.")
@click.option(
    "-P",
    "--progress",
    metavar="N",
    help="Rows of the table: every N examples, or at weights growing N.N-fold. Default 2.0.",
)
def train(
    files: tuple[str, ...],
    config: str | None,
    is_json: bool,
    format_: str | None,
    vw_args: str | None,
    label: str | None,
    labels: str | None,
    out: str | None,
    is_backfill: bool,
    is_resumed: bool,
    live_from: str | None,
    dead_letters: str | None,
    predictions: str | None,
    progress: str | None,
) -> None:
    """Learn FILEs to their end, in order; print the progressive table and summary that VW prints, on stderr."""
    format_ = format_of(files, config, format_)
    has_file = config is not None or Path(configuration.DEFAULT_FILE).exists()
    if format_ == "vw" and vw_args is None and not has_file:
        vw_args = ""
    is_task_given = has_file or vw_args is None
    settings = _settings(config, format_, vw_args)
    schema: dict[str, Any] = {"label": label} if label is not None else {}
    if labels is not None:
        schema["labels"] = _label_names(labels)
    settings = configuration.replaced(settings, "schema", **schema)
    if out is None and (is_backfill or is_resumed):
        out = settings.checkpoints.url
    if live_from is not None and out is None:
        raise ConfigError("--live-from: no model is kept; add --backfill, or --out DIR")
    job = TrainJob(
        settings=settings,
        files=files,
        out=out,
        predictions=predictions,
        progress=progress,
        is_task_given=is_task_given,
        is_resumed=is_resumed,
        live_from=live_from,
        dead_letters=dead_letters,
    )
    trained = _trained(job)
    if trained.dead_letters:
        click.echo(f"dead letters = {trained.dead_letters}", err=True)
    if trained.duplicates:
        said = "events whose id was met before, not learnt again; events.dedupe_window = 0 learns them"
        click.echo(f"duplicates = {trained.duplicates} ({said})", err=True)
    if is_json:
        print_json(trained)
    elif trained.checkpoint is not None:
        click.echo(trained.checkpoint)
    raise click.exceptions.Exit(1 if trained.dead_letters and not trained.examples else 0)


def _trained(job: TrainJob) -> Trained:
    try:
        with progress_bar("learning") as tell, stopping() as check:

            def step(consumed: int, size: int) -> None:
                check()
                tell(consumed, size)

            return asyncio.run(learn_files(job, sys.stderr, step))
    except click.Abort:
        if job.out is not None:
            click.echo("weir: what was learnt so far is kept; go on with --resume", err=True)
        raise


def _settings(config: str | None, format_: str | None, vw_args: str | None) -> Settings:
    override: dict[str, dict[str, Any]] = {}
    if format_ is not None:
        override["events"] = {"format": format_}
    if vw_args is not None:
        override["learner"] = {"kind": "vw", "args": vw_args}
    return configuration.load(config, override=override)


def _label_names(text: str) -> dict[str, float]:
    names = {}
    for pair in text.split(","):
        name, equals, value = pair.rpartition("=")
        try:
            names[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ConfigError(f"--labels: {pair!r} is not NAME=NUMBER, as in YES=1,NO=-1")
    return names
