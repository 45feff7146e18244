"""`weir importance`: what a checkpoint's model goes by, and what has changed since another one."""

from collections.abc import Sequence

import click
import msgspec
from rich.table import Table

from stream_app import importance as measuring
from stream_app.commands.cells import bar, columns, readable, short_id
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.stored_model import opened, store_option
from stream_app.commands.terminal import console
from stream_app.importance import Importance, Movement, Mover

TOP = 20


@click.command(epilog="Example: weir importance --since 1f0c3a9b --top 10")
@click.argument("model_id", metavar="[CHECKPOINT]", required=False)
@config_option
@json_option
@store_option
@click.option("--since", metavar="ID", help="Another checkpoint: say what has changed since.")
@click.option("--top", type=click.IntRange(min=1), default=TOP, help=f"So many fields and features. Default {TOP}.")
def importance(
    model_id: str | None, config: str | None, is_json: bool, store: str | None, since: str | None, top: int
) -> None:
    """Say by which fields and features a stored model tells events apart; of the newest checkpoint, or this one.

    Importance is |weight| x spread over a sample of what was learnt: docs/explaining.md.
    """
    found = _measured(config, store, model_id)
    moved = measuring.movement(_measured(config, store, since), found).top(top) if since is not None else None
    if is_json:
        print_json({**msgspec.to_builtins(found.top(top)), "since": moved})
        return
    _print(found, top)
    if moved is not None:
        _print_movement(moved)
    for remark in _remarks(found):
        click.echo(remark, err=True)


def _measured(config: str | None, store: str | None, model_id: str | None) -> Importance:
    settings, checkpoint = opened(config, store, model_id)
    return measuring.importance(settings, checkpoint)


def _print(found: Importance, top: int) -> None:
    click.echo(f"{short_id(found.model)}, over {found.examples} examples")
    widest = max((one.importance for one in found.fields), default=0.0)
    fields = columns("importance", "field", "")
    for field in found.fields[:top]:
        cells = bar(field.importance, widest).removeprefix("+")
        fields.add_row(f"{field.importance:.6f}", readable(field.name), cells)
    features = columns("importance", "feature", "weight", "spread")
    for one in found.features[:top]:
        features.add_row(f"{one.importance:.6f}", readable(one.name), f"{one.weight:.6f}", f"{one.spread:.6f}")
    out = console()
    out.print(fields)
    out.print(features)


def _print_movement(moved: Movement) -> None:
    said = [
        f"{what} {correlation:.3f}" if correlation is not None else f"{what} not known"
        for what, correlation in (("fields", moved.rank_correlation), ("features", moved.feature_rank_correlation))
    ]
    click.echo(f"since {short_id(moved.before)}: rank correlation of {', of '.join(said)}")
    console().print(_movers("field", moved.fields))
    console().print(_movers("feature", moved.features))


def _movers(what: str, movers: Sequence[Mover]) -> Table:
    table = columns("change", what, "before", "after")
    for one in movers:
        table.add_row(f"{one.change:+.6f}", readable(one.name), f"{one.before:.6f}", f"{one.after:.6f}")
    return table


def _remarks(found: Importance) -> list[str]:
    said = list(found.remarks)
    if found.collisions:
        said.append(f"{found.collisions} features share a weight with another one in the sample")
    if found.unseen:
        said.append(f"{found.unseen} known names are in no sampled example: their importance is not known")
    if found.left_out:
        said.append(f"{found.left_out} less important features are not told")
    return said
