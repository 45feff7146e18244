"""`weir checkpoints` and `weir rollback`: the moments that can be gone back to."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from checkpoints.checkpoint import CheckpointStore, Summary
from checkpoints.errors import CheckpointError
from checkpoints.lineage import resolve
from checkpoints.lineage import verify as verified
from checkpoints.manifest import Hole
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.config import ConfigError, Settings
from stream_app.http.checkpoints import short
from stream_app.http.client import Client, NotRunning
from stream_app.service import Rollback, Service

_ID_IN_TEXT = re.compile(r"sha256\.[0-9a-f]{64}")
_EXCEPT = re.compile(r"(\d+):(\d+)-(\d+)")


@click.group(epilog="Example: weir checkpoints list")
def checkpoints() -> None:
    """List, show, take and verify checkpoints."""


@checkpoints.command("list", epilog="Example: weir checkpoints list --json")
@config_option
@json_option
def list_(config: str | None, is_json: bool) -> None:
    """List the checkpoints, newest first; `*` marks the one that learning goes on from."""
    store = _store(config)
    head, summaries = store.head(), store.list()
    if is_json:
        print_json({"head": head, "checkpoints": [short(summary) for summary in summaries]})
        return
    table = Table("", "model", "taken", "why", "position", "loss", box=None, padding=(0, 1, 0, 0))
    for summary in summaries:
        table.add_row("*" if summary.id == head else "", *_cells(summary))
    Console().print(table)


@checkpoints.command(epilog="Example: weir checkpoints show 1f0c3a9b")
@click.argument("model_id", metavar="ID")
@config_option
@json_option
def show(model_id: str, config: str | None, is_json: bool) -> None:
    """Print the manifest of a checkpoint as JSON, indented; with --json on one line.

    ID may be any unique prefix of 8 or more hex digits.
    """
    store = _store(config)
    full = resolve(store, model_id)
    shown = {"id": full, "manifest": store.load(full).manifest}
    print_json(shown) if is_json else click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


@checkpoints.command(epilog="Example: weir checkpoints take")
@config_option
@json_option
def take(config: str | None, is_json: bool) -> None:
    """Have the running service take a checkpoint now; prints its id."""
    settings = configuration.load(config)
    answer = asyncio.run(_post(settings, "/checkpoints", b""))
    print_json(answer) if is_json else click.echo(answer["id"])


@checkpoints.command(epilog="Example: weir checkpoints verify --all")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@config_option
@json_option
@click.option("--all", "is_all", is_flag=True, help="Verify every checkpoint in the store; default the newest.")
def verify(ids: tuple[str, ...], config: str | None, is_json: bool, is_all: bool) -> None:
    """Read every byte of checkpoints, and prove it to be what was saved. Exit code 1 where it is not."""
    store = _store(config)
    wanted = _wanted(store, ids, is_all)
    reports = [_verified(store, model_id) for model_id in wanted]
    if is_json:
        print_json(reports)
    else:
        for report in reports:
            click.echo(f"{report['id']}: {report['damage'] or 'whole'}")
    raise click.exceptions.Exit(1 if any(report["damage"] for report in reports) else 0)


@click.command(epilog="Example: weir rollback 1f0c3a9b --replay --except 0:5000-6999")
@click.argument("model_id", metavar="ID")
@config_option
@json_option
@click.option(
    "--skip/--replay",
    "is_skip",
    default=True,
    help="Go on from the present position, or learn again from the checkpoint's. Default --skip.",
)
@click.option(
    "--except",
    "excepted",
    multiple=True,
    metavar="PARTITION:FIRST-LAST",
    help="With --replay: offsets to leave out, both ends included. May be repeated.",
)
@click.option("--why", default="rollback", help="Said of each hole in the manifest. Default 'rollback'.")
def rollback(
    model_id: str, config: str | None, is_json: bool, is_skip: bool, excepted: tuple[str, ...], why: str
) -> None:
    """Take the model of an older checkpoint: in the running service, or for the next one if none runs."""
    settings = configuration.load(config)
    wanted = Rollback(id=model_id, replay=not is_skip, exceptions=[_hole(text, why) for text in excepted])
    answer = asyncio.run(_roll_back(settings, wanted))
    print_json(answer) if is_json else click.echo(f"{answer['id']} is live, at {answer['model']}")


async def _roll_back(settings: Settings, wanted: Rollback) -> Any:
    try:
        return await _post(settings, "/rollback", msgspec.json.encode(wanted))
    except NotRunning:
        service = Service(settings)
        try:
            model_id = await service.rollback(wanted)
            return {"id": model_id, "model": service.trainer.live_id}
        finally:
            await service.close()


async def _post(settings: Settings, path: str, body: bytes) -> Any:
    async with Client.of(settings.http) as client:
        return await client.post(path, body)


def _store(config: str | None) -> CheckpointStore:
    return wiring.build_store(configuration.load(config))


def _wanted(store: CheckpointStore, ids: tuple[str, ...], is_all: bool) -> list[str]:
    if is_all:
        return [summary.id for summary in store.list()]
    if ids:
        return [resolve(store, model_id) for model_id in ids]
    head = store.head()
    if head is None:
        raise ConfigError("checkpoints: there are none yet")
    return [head]


def _verified(store: CheckpointStore, model_id: str) -> dict[str, Any]:
    try:
        report = verified(store, model_id)
    except CheckpointError as error:
        return {"id": model_id, "damage": str(error), "remarks": []}
    return {"id": model_id, "damage": None, "remarks": report.remarks}


def _hole(text: str, why: str) -> Hole:
    match = _EXCEPT.fullmatch(text)
    if match is None or int(match[2]) > int(match[3]):
        raise ConfigError(f"--except: {text!r} is not PARTITION:FIRST-LAST, as in 0:5000-6999")
    return Hole(partition=int(match[1]), first=int(match[2]), last=int(match[3]) + 1, why=why)


def _cells(summary: Summary) -> list[str]:
    line = short(summary)
    if line["damage"] is not None:
        return [_short_id(summary.id), "", str(line["damage"]), "", ""]
    taken = line["created_at"]
    position = line["position"]
    loss = line["average_loss"]
    return [
        _short_id(summary.id),
        datetime.fromtimestamp(taken, UTC).strftime("%m-%d %H:%M:%S") if isinstance(taken, float) else "",
        _ID_IN_TEXT.sub(lambda match: _short_id(match[0]), str(line["why"] or "")),
        ",".join(f"{part}:{offset}" for part, offset in position.items()) if isinstance(position, dict) else "",
        f"{loss:.6f}" if isinstance(loss, float) else "n.a.",
    ]


def _short_id(model_id: str) -> str:
    """As many hex digits as commands need and a line of the listing has room for."""
    return model_id.removeprefix("sha256.")[:12]
