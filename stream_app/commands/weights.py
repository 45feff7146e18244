"""`weir weights`: the weights of a stored model by name, and what predictions are made of. Learns nothing."""

import math
from collections.abc import Iterator, Sequence
from itertools import tee

import click
import msgspec
from rich.table import Table

from formats.example import Example
from learners.learner import Audits, HasWeights, Learner, LearnerError, Weight, Weights
from stream_app import names as dictionary
from stream_app import wiring
from stream_app.commands.cells import readable
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.stored_model import opened, store_option
from stream_app.commands.terminal import console
from stream_app.settings import ConfigError, Settings
from stream_app.sources.file import FileSource

BATCH = 512
TOP = 20


class Wanted(msgspec.Struct, frozen=True):
    """What to print, and how."""

    top: int | None
    has_names: bool
    is_json: bool
    files: Sequence[str]


@click.command(epilog="Example: weir weights --names --top 10")
@click.argument("model_id", metavar="[CHECKPOINT]", required=False)
@config_option
@json_option
@store_option
@click.option("--top", type=click.IntRange(min=1), help="How many weights, heaviest first. Default 20.")
@click.option("--all", "is_all", is_flag=True, help="Every weight that is not zero, a line each, in VW's own form.")
@click.option("--names", "has_names", is_flag=True, help="Say which features the weights belong to.")
@click.option("--from", "files", multiple=True, metavar="FILE", help="Take names from these events too. Repeatable.")
@click.option("--audit", "audited", metavar="FILE", help="Instead, list every feature of each event with its weight.")
def weights(
    model_id: str | None, config: str | None, is_json: bool, store: str | None, top: int | None, is_all: bool,
    has_names: bool, files: tuple[str, ...], audited: str | None,
) -> None:  # fmt: skip
    """Print the weights of a stored model, by name with --names; of the newest checkpoint, or the one with this id.

    --all prints what VW writes with --readable_model, with --names as with --invert_hash, --audit FILE as with --audit.
    """
    if is_all and top is not None:
        raise ConfigError("--all and --top: all weights, or so many of them; leave one out")
    settings, checkpoint = opened(config, store, model_id)
    learner = wiring.build_learner(settings)
    learner.restore(checkpoint.blobs["learner"])
    if audited is not None:
        _print_audit(settings, learner, audited, is_json)
        return
    if not isinstance(learner, HasWeights):
        raise LearnerError(f"weights: {learner.traits.kind} learners have none that can be told")
    wanted = Wanted(None if is_all else top or TOP, has_names or bool(files), is_json, files)
    blob = checkpoint.blobs.get("names", b"") if wanted.has_names else b""
    read = _Read(settings, learner, files)
    told = learner.weights(dictionary.pairs(blob), iter(read))
    remarks = [*told.remarks, *read.remarks(), *_coverage(blob, wanted.has_names and learner.traits.reads == "text")]
    _print(checkpoint.id, msgspec.structs.replace(told, remarks=remarks), wanted)


class _Read:
    """The examples of files, and how many events in them were none."""

    def __init__(self, settings: Settings, learner: Learner, files: Sequence[str]) -> None:
        self._format = wiring.build_format(settings, learner.traits)
        self._source = FileSource(files, self._format.split) if files else None
        self._dead = 0

    def __iter__(self) -> Iterator[Example]:
        for records in self._source.batches(BATCH) if self._source is not None else ():
            decoded = self._format.decode(records.payloads)
            self._dead += len(decoded.dead)
            yield from decoded.examples

    def remarks(self) -> list[str]:
        """What must be known about them."""
        return [f"{self._dead} events could not be read, and were passed over"] if self._dead else []


def _coverage(blob: bytes, is_told: bool) -> list[str]:
    """How complete the names of the checkpoint are."""
    if not is_told:
        return []
    seen = dictionary.coverage(blob)
    said = [f"{seen.names} names are known, from {seen.looked_at} of {seen.examples} examples learnt"]
    if seen.left_out:
        said.append(
            f"the dictionary was full: further names came by {seen.left_out} times (learner.names bounds it; "
            "give --from FILE to name them from events)"
        )
    return said


def _print(model: str, told: Weights, wanted: Wanted) -> None:
    shown = told.weights
    if wanted.top is not None:
        shown = sorted(shown, key=lambda one: -abs(one.weight))[: wanted.top]
    collisions = sum(len(one.names) > 1 for one in told.weights)
    unnamed = sum(not one.names for one in told.weights)
    if wanted.is_json:
        counts = {"non_zero": len(told.weights), "collisions": collisions, "unnamed": unnamed}
        print_json({"model": model, **counts, "remarks": told.remarks, "weights": shown})
        return
    if wanted.top is None:
        for one in shown:
            for line in _lines(one):
                click.echo(line.encode(errors="surrogateescape"))
    else:
        console().print(_table(shown, wanted.has_names))
    click.echo(f"{len(told.weights)} weights are not zero", err=True)
    if wanted.has_names:
        click.echo(f"{unnamed} of them have no known name, {collisions} have several", err=True)
    for remark in told.remarks:
        click.echo(remark, err=True)


def _lines(one: Weight) -> list[str]:
    """As VW writes it; a line for each of several names."""
    place = [str(one.index)] if one.index is not None else []
    return [":".join([*name, *place, one.printed]) for name in ([[name] for name in one.names] or [[]])]


def _table(shown: Sequence[Weight], has_names: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("weight", justify="right")
    has_index = any(one.index is not None for one in shown)
    if has_index:
        table.add_column("index", justify="right")
    if has_names or not has_index:
        table.add_column("name", overflow="fold")
    for one in shown:
        cells = [f"{one.weight:g}", *([str(one.index)] if has_index else []), readable(" or ".join(one.names))]
        table.add_row(*cells[: len(table.columns)])
    return table


def _print_audit(settings: Settings, learner: Learner, file: str, is_json: bool) -> None:
    if not isinstance(learner, Audits):
        raise LearnerError(f"audit: {learner.traits.kind} learners cannot be audited")
    kept, examples = tee(_Read(settings, learner, [file]))
    for audit, example in zip(learner.audit(kept), examples, strict=True):
        if is_json:
            print_json({"id": example.id, **msgspec.to_builtins(audit)})
            continue
        whole = audit.prediction == math.floor(audit.prediction)
        score = f"{audit.prediction:.0f}" if whole else f"{audit.prediction:.6f}"
        click.echo(f"{score} {example.id}" if example.id is not None else score)
        click.echo("".join(f"\t{row.printed}" for row in audit.features).encode(errors="surrogateescape"))
