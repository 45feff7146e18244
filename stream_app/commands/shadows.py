"""`weir shadows` and `weir promote`: how the shadows do, and letting the better one answer."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.table import Column, Table

from stream_app import config as configuration
from stream_app.commands.cells import short_id
from stream_app.commands.deploy import tag_option, who
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.terminal import console
from stream_app.deployments import Wanted
from stream_app.http.client import Client
from stream_app.promotion import Decision, decide, wish
from stream_app.settings import ConfigError
from stream_app.shadow_frames import KEPT
from stream_app.shadows import ShadowReport

Cells = Callable[[ShadowReport], Sequence[str]]


@click.command(epilog="Example: weir shadows --over 5000")
@config_option
@json_option
@click.option("--over", type=click.IntRange(1, KEPT), help="Losses of the last so many events. Default all.")
def shadows(config: str | None, is_json: bool, over: int | None) -> None:
    """What the running service's shadows saw and said, beside what they are held against."""
    found = asyncio.run(_reports(config, over))
    if is_json:
        print_json({"shadows": found})
        return
    out = console()
    out.print(_table(("primary", "state", "requests", "dropped", "disagree", "p99 ms", "lag"), found, _told))
    heads = ("examples", "unpaired", "loss", "primary's", "behind (95 %)")
    out.print(_table(heads, found, lambda one: _losses(one, over)))
    for one in found:
        if one.status is not None and one.status.anew is not None:
            click.echo(f"{one.name} {one.status.anew}")


@click.command(epilog="Example: weir promote -t fraud.production --if 'log_loss < primary - 0.005 over 5000' --yes")
@tag_option
@click.option("--if", "condition", required=True, metavar="CONDITION", help="LOSS < primary - NUMBER over N [surely].")
@click.option("-m", "--model", metavar="ID", help="Only this shadow. Default every shadow of the tag.")
@click.option("--yes", "is_done", is_flag=True, help="Deploy it; without this, only say what would be done.")
@config_option
@json_option
def promote(tag: str, condition: str, model: str | None, is_done: bool, config: str | None, is_json: bool) -> None:
    """Deploy the best shadow of a tag of which a condition holds. Exit code 1 where it holds of none.

    Losses are of the last N labelled events that shadow and primary have both predicted; `surely`: the interval of the
    difference must say so too. With --yes every decision stands in the history of the tag.
    """
    wanted = wish(condition)
    reports = [one for one in asyncio.run(_reports(config, wanted.examples)) if one.tag == tag and _is_one(one, model)]
    if not reports:
        raise ConfigError(f"tag {tag!r}: it has no such shadow; weir deploy add -t {tag} -m ID adds one")
    decisions = decide(wanted, reports)
    best = decisions[0]
    if is_done:
        asyncio.run(_enter(config, tag, best, wanted.text))
    if is_json:
        print_json({"tag": tag, "done": is_done, "decisions": decisions})
    else:
        for one in decisions:
            verb = ("promoted" if is_done else "would be promoted") if one.is_promoted else "stays a shadow"
            click.echo(f"{one.shadow} {verb}: {one.why}")
    raise click.exceptions.Exit(0 if best.is_promoted else 1)


async def _reports(config: str | None, over: int | None) -> list[ShadowReport]:
    async with Client.of(configuration.load(config).http) as client:
        answer = await client.get("/shadows" if over is None else f"/shadows?over={over}")
        return msgspec.convert(answer["shadows"], list[ShadowReport], str_keys=True)


async def _enter(config: str | None, tag: str, best: Decision, condition: str) -> None:
    """Deploy it, or note that it was not: either stands in the history."""
    figures: dict[str, Any] = {"if": condition, "shadow": best.shadow, **(msgspec.to_builtins(best.figures) or {})}
    action: dict[str, Any] = {"action": "deploy", "model": best.model} if best.is_promoted else {"action": "hold"}
    wanted = msgspec.convert({**action, "why": f"promote: {best.why}", "who": who(), "figures": figures}, Wanted)
    async with Client.of(configuration.load(config).http) as client:
        await client.post(f"/tags/{quote(tag, safe='')}", msgspec.json.encode(wanted))


def _is_one(report: ShadowReport, model: str | None) -> bool:
    found = report.status.model if report.status is not None else ""
    return model is None or found.removeprefix("sha256.").startswith(model.removeprefix("sha256."))


def _table(heads: Sequence[str], found: Sequence[ShadowReport], cells: Cells) -> Table:
    """A line per shadow; only its name is folded where the terminal is narrow."""
    table = Table(Column("shadow", overflow="fold"), box=None, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, no_wrap=head != "state")
    for one in found:
        table.add_row(one.name, *cells(one))
    return table


def _told(one: ShadowReport) -> Sequence[str]:
    status = one.status
    p99_ms = f"{status.p99_ms:.2f}" if status is not None and status.p99_ms is not None else ""
    lag = str(status.lag) if status is not None else ""
    return short_id(one.primary), one.state, str(one.offered), str(one.dropped), _rate(one), p99_ms, lag


def _rate(one: ShadowReport) -> str:
    status = one.status
    answered = status.requests - status.failed if status is not None else 0
    return f"{status.disagreements / answered:.1%}" if status is not None and answered else ""


def _losses(one: ShadowReport, over: int | None) -> Sequence[str]:
    unpaired = str(one.status.unpaired) if one.status is not None else ""
    figures = one.over if over is not None or one.status is None else one.status.figures
    if figures is None or figures.loss is None or figures.primary_loss is None or figures.behind is None:
        return "", unpaired, "", "", ""
    known = figures.low is not None and figures.high is not None
    bounds = f" ({figures.low:+.4f} to {figures.high:+.4f})" if known else ""
    losses = f"{figures.loss:.6f}", f"{figures.primary_loss:.6f}", f"{figures.behind:+.6f}{bounds}"
    return str(figures.examples), unpaired, *losses
