"""`weir`: the command line. Puts the commands together, and turns every foreseen error into one line."""

import sys
from importlib import import_module
from importlib.metadata import entry_points

import click

COMMANDS = {
    "at": "time_machine", "check": "check", "checkpoints": "checkpoints", "deploy": "deploy", "explain": "time_machine",
    "importance": "importance", "predict": "predict", "promote": "shadows", "race": "race", "replay": "time_machine",
    "rollback": "rollback", "serve": "serve", "shadows": "shadows", "tags": "deploy", "train": "train",
    "value": "value", "verify": "time_machine", "weights": "weights", "worker": "worker",
}  # fmt: skip
"""Each command, and the module of `stream_app.commands` that has it."""

ON_THE_SERVICE = "weir.commands"
"""What stands on the service rather than in it (produce, demo) lives in tools/ and registers itself here."""


class Commands(click.Group):
    """A command is imported when it is asked for, as importing all of them takes longer than most need to run."""

    def list_commands(self, ctx: click.Context | None) -> list[str]:
        """Every name, sorted."""
        return sorted([*COMMANDS, *(entry.name for entry in entry_points(group=ON_THE_SERVICE))])

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        """The command of a name; None if there is none."""
        found: click.Command
        if cmd_name in COMMANDS:
            found = getattr(import_module(f"stream_app.commands.{COMMANDS[cmd_name]}"), cmd_name)
            return found
        for entry in entry_points(group=ON_THE_SERVICE, name=cmd_name):
            found = entry.load()
            return found
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="weir", prog_name="weir")
def cli() -> None:
    """Learn from a stream of labelled events, one by one, and serve the model while it learns.

    Example: weir demo
    """


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
    except Exception as error:
        if not isinstance(error, _foreseen()):
            raise
        _end(str(error), 2)
    sys.exit(code if isinstance(code, int) else 0)


def _foreseen() -> tuple[type[Exception], ...]:
    """What is said in a line; anything else is a defect, and shows where. Imported once there is an error to tell."""
    from stream_app.foreseen import FORESEEN
    from stream_app.http.client import ClientError

    return (*FORESEEN, ClientError)


def _of_vw(error: click.ClickException, message: str) -> str:
    command = error.ctx.command.name if isinstance(error, click.NoSuchOption) and error.ctx is not None else None
    if command not in OF_VW:
        return ""
    return f"{' ' if message.endswith('?') else '; '}{OF_VW[command]}"


def _end(message: str, code: int) -> None:
    click.echo(f"weir: {' '.join(message.split())}", err=True)
    sys.exit(code)
