"""Options that several commands share."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`-c/--config`: the settings file."""
    return click.option("-c", "--config", metavar="FILE", help="Settings file; default weir.toml if it is there.")(
        command
    )


def json_option(command: Command) -> Command:
    """`--json`: for programs."""
    return click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")(command)


def print_json(value: object) -> None:
    """The value on standard output, as one line of JSON."""
    click.echo(json.dumps(msgspec.to_builtins(value, str_keys=True)))
