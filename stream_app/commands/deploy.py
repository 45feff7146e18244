"""`weir deploy` and `weir tags`: which model answers under which name."""

import asyncio
import getpass
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.table import Table

from checkpoints.tags import By, Tags
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.cells import short_id, taken
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.terminal import console
from stream_app.deployments import Wanted, changed, shown
from stream_app.http.client import Client, NotRunning
from stream_app.settings import ConfigError, Settings

tag_option = click.option("-t", "--tag", metavar="TAG", required=True, help="Such as fraud.production.")
model_option = click.option("-m", "--model", metavar="ID", required=True, help="A checkpoint, or `live`.")
why_option = click.option("-M", "--why", default="", help="Stands in the history of the tag.")


@click.group(invoke_without_command=True, epilog="Example: weir deploy -t fraud.production -m 1f0c3a9b -M 'less loss'")
@config_option
@json_option
@click.option("-t", "--tag", metavar="TAG", help="Such as fraud.production.")
@click.option("-m", "--model", metavar="ID", help="A checkpoint, `live`, or `newest`, which later ones follow.")
@click.option("-b", "--back", "is_back", is_flag=True, help="Take the last deployment back; again: one further.")
@why_option
@click.pass_context
def deploy(
    context: click.Context, config: str | None, is_json: bool, tag: str | None, model: str | None, is_back: bool,
    why: str,
) -> None:  # fmt: skip
    """Let a tag point at a model: in the running service, or in the store if none runs.

    Whoever serves the store's tags follows within about a second.
    """
    if context.invoked_subcommand is not None:
        return
    if tag is None or (model is None) == (not is_back):
        raise ConfigError("expected --tag and either --model ID or --back")
    _change(config, is_json, tag, Wanted("back" if is_back else "deploy", model, None, why, who()))


@deploy.command(epilog="Example: weir deploy add -t fraud.production -m 1f0c3a9b --weight 0.1")
@tag_option
@model_option
@why_option
@click.option("--weight", type=float, help="Its share of the units, as a candidate; without this it is a shadow.")
@config_option
@json_option
def add(tag: str, model: str, why: str, weight: float | None, config: str | None, is_json: bool) -> None:
    """Add a shadow, or a candidate that answers for a share of the units; or change a candidate's share."""
    _change(config, is_json, tag, Wanted("add", model, weight, why, who()))


@deploy.command(epilog="Example: weir deploy remove -t fraud.production -m 1f0c3a9b")
@tag_option
@model_option
@why_option
@config_option
@json_option
def remove(tag: str, model: str, why: str, config: str | None, is_json: bool) -> None:
    """Remove a shadow or a candidate."""
    _change(config, is_json, tag, Wanted("remove", model, None, why, who()))


@deploy.command(epilog="Example: weir deploy history -t fraud.production")
@tag_option
@click.option("--limit", type=click.IntRange(min=1), default=20, help="Newest entries to show. Default 20.")
@config_option
@json_option
def history(tag: str, limit: int, config: str | None, is_json: bool) -> None:
    """What was deployed when, by whom, why, and what before; newest first."""
    entries = list(Tags(wiring.build_store(configuration.load(config))).history(tag))[: -limit - 1 : -1]
    rows = [shown(tag, entry) for entry in entries]
    if is_json:
        print_json({"tag": tag, "history": rows})
    else:
        _print(rows, ("at", "action", "model", "previous", "shadows", "candidates", "who", "why"))


@click.command(epilog="Example: weir tags")
@config_option
@json_option
def tags(config: str | None, is_json: bool) -> None:
    """List the tags of the store, and what they point at."""
    found = Tags(wiring.build_store(configuration.load(config)))
    rows = [shown(name, entry) for name in found.names() if (entry := found.current(name)) is not None]
    if is_json:
        print_json({"tags": rows})
    else:
        _print(rows, ("tag", "model", "candidates", "shadows", "at", "who", "why"))


def _change(config: str | None, is_json: bool, tag: str, wanted: Wanted) -> None:
    now = asyncio.run(_changed(configuration.load(config), tag, wanted))
    print_json(now) if is_json else click.echo(f"{tag} is {now['primary']}{_beside(now)}")


async def _changed(settings: Settings, tag: str, wanted: Wanted) -> dict[str, Any]:
    try:
        async with Client.of(settings.http) as client:
            answer: dict[str, Any] = await client.post(f"/tags/{quote(tag, safe='')}", msgspec.json.encode(wanted))
            return answer
    except NotRunning:
        deployments = wiring.build_deployments(settings, wiring.build_store(settings))
        entry = await changed(deployments, tag, wanted, By(wanted.who or "", wanted.why, wanted.figures))
        return dict(msgspec.to_builtins(shown(tag, entry)))


def who() -> str:
    """The person at this terminal, as histories name them."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()


def _beside(now: Mapping[str, Any]) -> str:
    parts = [f"{len(now[name])} {name}" for name in ("candidates", "shadows") if now[name]]
    return f", with {' and '.join(parts)}" if parts else ""


def _print(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    heads = ("at (UTC)" if column == "at" else column for column in columns)
    table = Table(*heads, box=None, padding=(0, 1, 0, 0))
    for row in rows:
        cells = {
            **row,
            "at": taken(row["at"]),
            "model": short_id(row["primary"]),
            "previous": short_id(row["previous"] or ""),
            "shadows": " ".join(short_id(model) for model in row["shadows"]),
            "candidates": " ".join(f"{short_id(one.model)}:{one.weight:g}" for one in row["candidates"]),
        }
        table.add_row(*(str(cells[column]) for column in columns))
    console().print(table)
