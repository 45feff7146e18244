"""`weir predict`: a stored model's answers for a file."""

import sys
from itertools import islice
from pathlib import Path

import click
import msgspec

from checkpoints.lineage import resolve
from stream_app import config as configuration
from stream_app import wiring
from stream_app.buried import BuriedLetters
from stream_app.commands.options import config_option, json_option
from stream_app.config import ConfigError

BATCH = 512


@click.command(epilog="Example: weir predict new.jsonl --model 1f0c3a9b --json")
@click.argument("file", metavar="FILE")
@config_option
@json_option
@click.option("--model", "model_id", metavar="ID", help="Checkpoint to predict with; default the newest.")
def predict(file: str, config: str | None, is_json: bool, model_id: str | None) -> None:
    """Predict every event of FILE with a stored model, one answer a line; labels in it are not looked at.

    An event that cannot be read gets an empty line (with --json an error), and exit code 1 at the end.
    """
    settings = configuration.load(config)
    store = wiring.build_store(settings)
    wanted = resolve(store, model_id) if model_id is not None else store.head()
    if wanted is None:
        raise ConfigError(f"checkpoints.url {settings.checkpoints.url}: there is no checkpoint to predict with yet")
    learner = wiring.build_learner(settings)
    format_ = wiring.build_format(settings, learner.traits)
    trainer = wiring.build_trainer(settings, learner, format_, BuriedLetters(sys.stderr))
    trainer.restore(store.load(wanted))
    dead = 0
    try:
        with Path(file).open("rb") as stream:
            payloads = format_.split(stream)
            while batch := list(islice(payloads, BATCH)):
                decoded = format_.decode(batch)
                reasons = {letter.index: letter.reason for letter in decoded.dead}
                dead += len(reasons)
                _print_batch(
                    len(batch), reasons, [(e.id, learner.predict(e)) for e in decoded.examples], wanted, is_json
                )
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file") from error
    raise click.exceptions.Exit(1 if dead else 0)


def _print_batch(
    size: int, reasons: dict[int, str], answers: list[tuple[str | None, object]], model: str, is_json: bool
) -> None:
    rows = iter(answers)
    if reasons and len(reasons) + len(answers) != size:
        raise ConfigError("a file with envelopes cannot be predicted line by line; unpack them first")
    for index in range(size if reasons else len(answers)):
        if index in reasons:
            line: object = {"error": reasons[index]} if is_json else ""
        else:
            event_id, answer = next(rows)
            line = {"id": event_id, "prediction": answer, "model": model} if is_json else answer
        click.echo(msgspec.json.encode(line).decode() if is_json else line)
