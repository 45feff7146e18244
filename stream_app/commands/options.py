"""Options that several commands share."""

import json
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click
import msgspec

from stream_app.file_formats import FileFormat

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`-c/--config`: the settings file."""
    return click.option("-c", "--config", metavar="FILE", help="Settings file; default weir.toml if it is there.")(
        command
    )


def json_option(command: Command) -> Command:
    """`--json`: for programs."""
    return click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")(command)


def format_option(help_text: str) -> Callable[[Command], Command]:
    """`--format`: how events are written; what the default is differs by command."""
    return click.option("--format", "format_", type=click.Choice(get_args(FileFormat)), help=help_text)


def port_option(command: Command) -> Command:
    """`--port`: where a service listens."""
    return click.option("--port", type=int, help="Listen on this port instead of http.port; 0 takes a free one.")(
        command
    )


def accept_loss_option(command: Command) -> Command:
    """`--accept-loss`: what a service that learns does about records that are gone."""
    return click.option(
        "--accept-loss",
        "accepts_loss",
        is_flag=True,
        help="Go on without records that the source no longer keeps; without this, they end it.",
    )(command)


def print_json(value: object) -> None:
    """The value on standard output, as one line of JSON."""
    click.echo(json.dumps(msgspec.to_builtins(value, str_keys=True)))
