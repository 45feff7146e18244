"""`weir`: the command line. Puts the commands together, and turns every foreseen error into one line."""

import sys
from importlib.metadata import entry_points

import click

from checkpoints.errors import CheckpointError
from formats.example import FormatError
from formats.schema import SchemaError
from learners.learner import LearnerError
from stream_app.commands.check import check
from stream_app.commands.checkpoints import checkpoints
from stream_app.commands.deploy import deploy, tags
from stream_app.commands.importance import importance
from stream_app.commands.predict import predict
from stream_app.commands.race import race
from stream_app.commands.rollback import rollback
from stream_app.commands.serve import serve
from stream_app.commands.shadows import promote, shadows
from stream_app.commands.time_machine import at, explain, replay_, verify
from stream_app.commands.train import train
from stream_app.commands.value import value
from stream_app.commands.weights import weights
from stream_app.commands.worker import worker
from stream_app.http.client import ClientError
from stream_app.refusal import ServiceError
from stream_app.settings import ConfigError
from stream_app.sources.source import SourceError
from stream_app.trainer import TrainerError

FORESEEN = (
    CheckpointError, ClientError, ConfigError, FormatError, LearnerError, SchemaError, ServiceError, SourceError,
    TrainerError, OSError,
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="weir", prog_name="weir")
def cli() -> None:
    """Learn from a stream of labelled events, one by one, and serve the model while it learns.

    Example: weir demo
    """


COMMANDS = (
    serve, worker, train, predict, checkpoints, rollback, deploy, tags, replay_, verify, at, explain, importance,
    race, shadows, promote, value, check, weights,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)
# What stands on the service rather than in it (produce, demo, bench) lives in tools/ and registers itself.
for entry in entry_points(group="weir.commands"):
    cli.add_command(entry.load(), entry.name)

OF_VW = {
    "train": "VW's own arguments go in --vw-args",
    "worker": "VW's own arguments go in learner.args",
    "serve": "VW's own arguments go in learner.args",
    "check": "VW's own arguments go in learner.args",
    "predict": "VW's own arguments come with the stored model, which --store DIR names",
}
"""What to do with an option that a command does not have, as it may be one of VW's."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed or check not passed, 2 wrong use or something not as it must be."""
    try:
        code = cli.main(standalone_mode=False)
    except click.Abort:
        _end("interrupted", 1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        message = error.format_message()
        _end(f"{message}{_of_vw(error, message)}{hint}", 2)
    except FORESEEN as error:
        _end(str(error), 2)
    sys.exit(code if isinstance(code, int) else 0)


def _of_vw(error: click.ClickException, message: str) -> str:
    command = error.ctx.command.name if isinstance(error, click.NoSuchOption) and error.ctx is not None else None
    if command not in OF_VW:
        return ""
    return f"{' ' if message.endswith('?') else '; '}{OF_VW[command]}"


def _end(message: str, code: int) -> None:
    click.echo(f"weir: {' '.join(message.split())}", err=True)
    sys.exit(code)
