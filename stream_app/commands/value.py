"""`weir value`: what the running service's decisions earned."""

import asyncio
from typing import Any

import click
from rich.table import Table

from stream_app import config as configuration
from stream_app.commands.cells import readable
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.terminal import console
from stream_app.http.client import Client


@click.command(epilog="Example: weir value")
@config_option
@json_option
def value(config: str | None, is_json: bool) -> None:
    """What the running service's decisions earned, beside always yes, always no and other thresholds."""
    found = asyncio.run(_asked(config))
    if is_json:
        print_json(found)
        return
    currency = readable(found["currency"])
    table = Table("", "decisions", currency, "per 1,000", box=None, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in _lines(found):
        table.add_row(*cells)
    console().print(table)


def _lines(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    total, window, hindsight, progressive = (found[name] for name in ("total", "window", "hindsight", "progressive"))
    count = total["count"]
    lines = [_line(f"threshold {found['threshold']:g}", count, total["value"])]
    for cell in total["cells"]:
        name = f"  actual {readable(cell['actual'])}, predicted {readable(cell['predicted'])}"
        lines.append(_line(name, cell["count"], cell["value"]))
    lines += [
        _line(f"the last {window['count']:,}", window["count"], window["value"]),
        _line("always yes", count, total["always_yes"]),
        _line("always no", count, total["always_no"]),
        _line(f"progressive threshold, now {_told(progressive)}", progressive["count"], progressive["value"]),
        _line(f"in hindsight, threshold {_told(hindsight)}", count, hindsight["value"]),
    ]
    for one in found["shadows"]:
        if one["value"] is not None:
            lines.append(_line(f"shadow {one['name']}", one["count"], one["value"]))
            lines.append(_line("  its primary on the same", one["count"], one["primary_value"]))
    return lines


def _line(name: str, count: int, earned: float) -> tuple[str, str, str, str]:
    return name, f"{count:,}", f"{earned:,.2f}", f"{1000 * earned / count:,.2f}" if count else ""


def _told(figures: dict[str, Any]) -> str:
    return "never" if figures["threshold"] is None else f"{figures['threshold']:g}"


async def _asked(config: str | None) -> dict[str, Any]:
    async with Client.of(configuration.load(config).http) as client:
        found: dict[str, Any] = await client.get("/value")
        return found
