"""`weir checkpoints` and `weir rollback`: the moments that can be gone back to."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from checkpoints.checkpoint import CheckpointStore, Note, Registry, Summary
from checkpoints.errors import CheckpointError
from checkpoints.ledger import named
from checkpoints.lineage import resolve, superfluous, why_superfluous
from checkpoints.lineage import verify as verified
from checkpoints.manifest import Manifest
from checkpoints.parcel import pack, unpack
from checkpoints.tags import Tags
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.cells import TAKEN, readable, short_id, taken
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.terminal import console
from stream_app.condition import Condition, Names
from stream_app.differences import differences, numbers
from stream_app.http.client import Client
from stream_app.listing import short
from stream_app.settings import ConfigError, Settings

_OF_A_PRUNE = {"id", "created_at", "position", "size_bytes"}
_ID_IN_TEXT = re.compile(r"sha256\.[0-9a-f]{64}")


@click.group(epilog="Example: weir checkpoints list")
def checkpoints() -> None:
    """List, show, take and verify checkpoints."""


@checkpoints.command("list", epilog="Example: weir checkpoints list --where 'log_loss < 0.6'")
@config_option
@json_option
@click.option("--owner", help="Only those of this model.owner.")
@click.option("--tag", help="Only those that the tag names now: primary, candidates and shadows.")
@click.option("--where", metavar="CONDITION", help='Only those of which it holds, such as "log_loss < 0.6".')
def list_(config: str | None, is_json: bool, owner: str | None, tag: str | None, where: str | None) -> None:
    """List the checkpoints, newest first; `*` marks the one that learning goes on from.

    A condition compares figures (log_loss, accuracy, window.log_loss, examples), learner, args, task, owner, name,
    records, why and metadata.KEY, with and, or, not.
    """
    store = _store(config)
    head, summaries = store.head(), _chosen(store, owner, tag, where)
    if is_json:
        print_json({"head": head, "checkpoints": [short(summary) for summary in summaries]})
        return
    table = Table("", "model", TAKEN, "why", "position", "loss", box=None, padding=(0, 1, 0, 0))
    for summary in summaries:
        table.add_row("*" if summary.id == head else "", *_cells(summary))
    console().print(table)


@checkpoints.command(epilog="Example: weir checkpoints diff 1f0c3a9b 77aa01c2")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@config_option
@json_option
@click.option("--top", type=click.IntRange(min=0), default=10, help="Weights that moved most to show. Default 10.")
def diff(before: str, after: str, config: str | None, is_json: bool, top: int) -> None:
    """What is different in B: settings, data range, metrics, and the weights that moved most, by name."""
    settings = configuration.load(config)
    store = wiring.build_store(settings)
    one, other = (store.load(resolve(store, model_id)) for model_id in (before, after))
    found = differences(settings, one, other, top)
    if is_json:
        print_json(found)
        return
    for title in ("settings", "data", "metrics", "weights"):
        table = Table(title, "A", "B", "change", box=None, padding=(0, 2, 0, 0))
        for change in getattr(found, title):
            by = f"{change.by:+g}" if change.by is not None else ""
            table.add_row(readable(change.what), _shown(change.before), _shown(change.after), by)
        if table.row_count:
            console().print(table)
    for remark in found.remarks:
        click.echo(remark, err=True)


@checkpoints.command(epilog="Example: weir checkpoints export 1f0c3a9b model.weir")
@click.argument("model_id", metavar="ID")
@click.argument("file", metavar="FILE")
@config_option
@json_option
def export(model_id: str, file: str, config: str | None, is_json: bool) -> None:
    """Write a package into one file, verified; weir checkpoints import takes it into another store."""
    store = _store(config)
    full = resolve(store, model_id)
    checkpoint = store.load(full)
    note = next((summary.note for summary in store.list() if summary.id == full), None)
    with Path(file).open("xb") as out:
        pack(checkpoint, note, out)
    size = Path(file).stat().st_size
    print_json({"id": full, "bytes": size}) if is_json else click.echo(full)


@checkpoints.command("import", epilog="Example: weir checkpoints import model.weir")
@click.argument("file", metavar="FILE")
@config_option
@json_option
def import_(file: str, config: str | None, is_json: bool) -> None:
    """Keep the package in a file beside the lineage, every byte verified first; retention spares it."""
    with Path(file).open("rb") as data:
        checkpoint, note = unpack(data)
    why = f"import of {Path(file).name}{(note is not None and f': {note.why}') or ''}"
    kept = _store(config).keep(checkpoint, Note.now(why, checkpoint.manifest.versions["weir"], is_pinned=True))
    print_json({"id": kept}) if is_json else click.echo(kept)


@checkpoints.command(epilog="Example: weir checkpoints prune --keep 5 --dry-run")
@config_option
@json_option
@click.option(
    "--keep", type=click.IntRange(min=1), help="Newest ones of the lineage that stay. Default checkpoints.keep."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(config: str | None, is_json: bool, keep: int | None, dry_run: bool) -> None:
    """Remove all but the newest of the lineage; what a tag names, was replayed or imported stays, and its parents."""
    settings = configuration.load(config)
    store = wiring.build_store(settings)
    keep = keep or settings.checkpoints.keep
    if dry_run:
        _say_superfluous(store, keep, is_json)
        return
    removed = store.prune(keep)
    if is_json:
        print_json({"removed": removed, "dry_run": False})
    else:
        for model_id in removed:
            click.echo(model_id)


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


def _say_superfluous(store: Registry, keep: int, is_json: bool) -> None:
    """What would go, and why."""
    head, summaries = store.head(), store.list()
    removed, why = superfluous(head, summaries, keep, (), named(store)), why_superfluous(head, summaries)
    rows = [
        {
            **{name: value for name, value in short(summary).items() if name in _OF_A_PRUNE},
            "owner": summary.manifest.model.owner if summary.manifest is not None else None,
            "superfluous": why[summary.id],
        }
        for summary in summaries
        if summary.id in removed
    ]
    if is_json:
        print_json({"removed": removed, "dry_run": True, "checkpoints": rows})
        return
    table = Table("model", TAKEN, "owner", "position", "bytes", "why it may go", box=None, padding=(0, 1, 0, 0))
    for row in rows:
        when = taken(row["created_at"]) if isinstance(row["created_at"], float) else ""
        owner, size = readable(str(row["owner"] or "")), f"{row['size_bytes']:,}"
        table.add_row(short_id(str(row["id"])), when, owner, _position(row["position"]), size, str(row["superfluous"]))
    if rows:
        console().print(table)
    click.echo(f"{len(rows)} of {len(summaries)} would be removed", err=True)


async def _post(settings: Settings, path: str, body: bytes) -> Any:
    async with Client.of(settings.http) as client:
        return await client.post(path, body)


def _store(config: str | None) -> Registry:
    return wiring.build_store(configuration.load(config))


def _chosen(store: Registry, owner: str | None, tag: str | None, where: str | None) -> list[Summary]:
    deployed = Tags(store).history(tag)[-1].models if tag is not None else None
    summaries = store.list()
    return [
        summary
        for summary in (summaries if where is None else _of_which(where, summaries))
        if (deployed is None or summary.id in deployed)
        and (owner is None or (summary.manifest is not None and summary.manifest.model.owner == owner))
    ]


def _of_which(where: str, summaries: Sequence[Summary]) -> list[Summary]:
    """Those of which it holds. What only others have, such as a figure of another task, is undefined."""
    wanted = Condition(where)
    asked = [(summary, _names(summary, summary.manifest)) for summary in summaries if summary.manifest is not None]
    undefined: dict[str, None] = dict.fromkeys(name for _, names in asked for name in names)
    if asked:
        wanted.check(undefined)
    return [summary for summary, names in asked if wanted.holds({**undefined, **names})]


def _names(summary: Summary, manifest: Manifest) -> Names:
    """What a condition may ask of a checkpoint."""
    plain: dict[str, Any] = {
        "learner": manifest.learner.kind,
        "args": manifest.learner.arguments,
        "task": manifest.model.task,
        "owner": manifest.model.owner,
        "name": manifest.model.name,
        "records": sum(manifest.position.values()),
        "why": summary.note.why if summary.note is not None else None,
        "value": None,
    }
    return {**plain, **{f"metadata.{key}": text for key, text in manifest.model.metadata.items()}, **numbers(manifest)}


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else readable(str(value))


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


def _cells(summary: Summary) -> list[str]:
    line = short(summary)
    if line["damage"] is not None:
        return [short_id(summary.id), "", str(line["damage"]), "", ""]
    created = line["created_at"]
    position = line["position"]
    loss = line["average_loss"]
    return [
        short_id(summary.id),
        taken(created) if isinstance(created, float) else "",
        _ID_IN_TEXT.sub(lambda match: short_id(match[0]), str(line["why"] or "")),
        _position(position),
        f"{loss:.6f}" if isinstance(loss, float) else "n.a.",
    ]


def _position(position: object) -> str:
    return ",".join(f"{part}:{offset}" for part, offset in position.items()) if isinstance(position, dict) else ""
