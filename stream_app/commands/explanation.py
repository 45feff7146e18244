"""How an explanation looks on a terminal: fields with bars for and against, then the features behind them."""

from collections.abc import Sequence

import click

from learners.explanation import CONSTANT, Explanation, FieldContribution
from stream_app.commands.cells import bar, columns, readable
from stream_app.commands.terminal import console


def print_explanation(found: Explanation, top: int) -> None:
    """Raw score, reasons, all fields, and the `top` features."""
    out = console()
    click.echo(f"raw score {found.raw:.6f}")
    click.echo(f"for: {_named(found.reasons.for_)}; against: {_named(found.reasons.against)}")
    widest = max((abs(one.contribution) for one in found.fields if one.field != CONSTANT), default=0.0)
    fields = columns("contribution", "field", "")
    for field in found.fields:
        fields.add_row(f"{field.contribution:+.6f}", readable(field.field), bar(field.contribution, widest))
    out.print(fields)
    features = columns("contribution", "feature", "value", "weight")
    for row in found.contributions[:top]:
        features.add_row(f"{row.contribution:+.6f}", readable(row.feature), f"{row.value:g}", f"{row.weight:.6f}")
    out.print(features)
    if len(found.contributions) > top:
        click.echo(f"{len(found.contributions) - top} more features (--top)", err=True)
    if found.collisions:
        click.echo(f"{found.collisions} features share a weight with another one of this event", err=True)


def _named(reasons: Sequence[FieldContribution]) -> str:
    return ", ".join(f"{one.field} {one.contribution:+.4g}" for one in reasons) or "nothing"
