"""The proof of a package: its stretch of the log learnt again from its parent, and every part of it compared."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore
from checkpoints.errors import CheckpointMissing
from checkpoints.manifest import Hole, Manifest
from stream_app.history import is_live
from stream_app.holes import Excepted
from stream_app.progressive.rows import ProgressiveError
from stream_app.progressive.scores import part
from stream_app.relearning import BATCH, Relearning, Tell
from stream_app.settings import Settings
from stream_app.sources.source import Order, Position, PositionLost, Source, SourceError
from stream_app.stored_model import as_learnt
from stream_app.timeline import order_of
from stream_app.trail import first_difference
from stream_app.trainer import TrainerError
from stream_app.value import is_same_past

LEARNT = ("learner", "progressive", "dedupe", "counts", "names", "sample")
"""Blobs that are a function of parent and log; `order` and `trail` say how the log was read. `value` is one of log and
money, so it is compared as far as the money is the same."""

Outcome = Literal["proven", "differs", "cannot be proven"]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What came out, and why; what was left out of the comparison."""

    id: str
    outcome: Outcome
    said: str
    place: str | None = None
    """PARTITION:OFFSET of the first record that differs, or PARTITION:FIRST-LAST where it lies among those."""
    records: int = 0
    """Learnt again."""
    remarks: list[str] = []


async def prove(
    settings: Settings, store: CheckpointStore, source: Source, model_id: str, tell: Tell = lambda passed: None
) -> Proof:
    """Prove a package from its parent and the log. Raises CheckpointDamaged naming the blob where its bytes are wrong.

    A package whose parent or records are no longer kept, or that was learnt from files, cannot be proven. One that was
    made without learning (by a rollback, a takeover) is held against its parent.
    """
    checkpoint = await asyncio.to_thread(store.load, model_id)
    manifest = checkpoint.manifest
    if not is_live(manifest) or (manifest.backfill is not None and not manifest.since_parent.records):
        return _not(model_id, "it was learnt from files; the log says nothing of them")
    parent = None
    if manifest.parent is not None:
        try:
            parent = await asyncio.to_thread(store.load, manifest.parent)
        except CheckpointMissing:
            return _not(model_id, f"its parent is not kept: {manifest.parent}")
    if not manifest.since_parent.records:
        return _held_against(checkpoint, parent)
    try:
        order = order_of(checkpoint)
        own = settings if parent is not None else as_learnt(settings, manifest)  # a replay may have its own learner
        again = Relearning(own, parent, source)
        if parent is None:
            again.trainer.stand_at(_begin(manifest.position, order))
        again.trainer.ahead.add(_left_out(checkpoint, parent))
        await again.follow(order, tell)
    except PositionLost as error:
        return _not(model_id, f"the log no longer holds what it was learnt from: {error}")
    except SourceError as error:
        return Proof(id=model_id, outcome="differs", said=f"the log cannot be read as it was: {error}")
    except TrainerError as error:
        return _not(model_id, str(error))
    found = again.trainer.snapshot().checkpoint()
    place = await _place(checkpoint, found, source, order)
    return _compared(checkpoint, found, place)


def _compared(checkpoint: Checkpoint, found: Checkpoint, place: str | None) -> Proof:
    manifest, other = checkpoint.manifest, found.manifest
    records, remarks = manifest.since_parent.records, _remarks(checkpoint, found)
    if other.since_parent.sha256 != manifest.since_parent.sha256:
        where = f"record {place} is the first that differs" if place else "which record differs cannot be told"
        said = f"the log is not what it was learnt from: {where}"
        return Proof(id=checkpoint.id, outcome="differs", said=said, place=place, records=records, remarks=remarks)
    parts = {
        "position": (manifest.position, other.position),
        "since_parent": (manifest.since_parent, other.since_parent),
        **{f"blob {name!r}": (checkpoint.blobs.get(name), found.blobs.get(name)) for name in _comparable(checkpoint)},
    }
    if manifest.exact_resume:
        parts["metrics"] = (_proven_metrics(manifest), _proven_metrics(other))
    differing = [name for name, (was, now) in parts.items() if was != now]
    if manifest.exact_resume and _is_other_value(checkpoint, found):
        differing.append("blob 'value'")
    if differing:
        said = f"{', '.join(differing)} not what parent and log give, though every record is the one that was learnt"
        return Proof(id=checkpoint.id, outcome="differs", said=said, records=records, remarks=remarks)
    said = f"{records} records learnt again give the same bytes"
    return Proof(id=checkpoint.id, outcome="proven", said=said, records=records, remarks=remarks)


def _comparable(checkpoint: Checkpoint) -> list[str]:
    """The blobs that must come out the same."""
    if not checkpoint.manifest.exact_resume:
        return [name for name in ("dedupe", "names", "sample") if name in checkpoint.blobs]
    return [name for name in LEARNT if name in checkpoint.blobs]


def _proven_metrics(manifest: Manifest) -> dict[str, object]:
    """Without the sum of the value, which the present money gives from what blob `value` has counted."""
    plain = {name: figure for name, figure in part(manifest.metrics, "total").items() if name != "value"}
    return {**manifest.metrics, "total": plain}


def _is_other_value(checkpoint: Checkpoint, found: Checkpoint) -> bool:
    """Whether both count what decisions were worth, and not the same ones."""
    was, now = checkpoint.blobs.get("value"), found.blobs.get("value")
    try:
        return was is not None and now is not None and not is_same_past(was, now)
    except ProgressiveError:  # no state at all: nothing that was counted
        return True


def _remarks(checkpoint: Checkpoint, found: Checkpoint) -> list[str]:
    remarks = []
    if "value" in checkpoint.blobs and "value" not in found.blobs:
        remarks.append("[value] is not set: what decisions were worth was not compared")
    if not checkpoint.manifest.exact_resume:
        arguments = checkpoint.manifest.learner.arguments
        remarks.append(f"{arguments!r} does not resume exactly: weights and metrics were not compared")
    was, now = checkpoint.manifest.versions, found.manifest.versions
    remarks += [f"{name} was {was[name]}, is {now[name]}" for name in was.keys() & now.keys() if was[name] != now[name]]
    if checkpoint.manifest.platform != found.manifest.platform:
        remarks.append(f"it was learnt on {checkpoint.manifest.platform}, this is {found.manifest.platform}")
    return sorted(remarks)


def _held_against(checkpoint: Checkpoint, parent: Checkpoint | None) -> Proof:
    """One that was made of its parent without learning; only the ids seen may be those of where it went on."""
    if parent is None:
        return _not(checkpoint.id, "it has learnt nothing, and has no parent to be held against")
    # A parent from before there was such a blob says nothing of it.
    names = [name for name in LEARNT if name != "dedupe" and name in parent.blobs]
    differing = [name for name in names if checkpoint.blobs.get(name) != parent.blobs.get(name)]
    if _is_other_value(checkpoint, parent):
        differing.append("value")
    if differing:
        said = f"blob {differing[0]!r} is not its parent's, though nothing was learnt in between"
        return Proof(id=checkpoint.id, outcome="differs", said=said)
    return Proof(id=checkpoint.id, outcome="proven", said="it is its parent, at another position or with other holes")


def _left_out(checkpoint: Checkpoint, parent: Checkpoint | None) -> list[Hole]:
    """What the stretch passed over, beyond what its parent had been told to."""
    begin = parent.manifest.position if parent is not None else {}
    told = parent.manifest.except_ if parent is not None else []
    holes = [hole for hole in checkpoint.manifest.holes if hole.last > begin.get(hole.partition, 0)]
    cut = [msgspec.structs.replace(hole, first=max(hole.first, begin.get(hole.partition, 0))) for hole in holes]
    return sorted((hole for hole in cut if hole not in told), key=lambda hole: (hole.partition, hole.first))


def _begin(position: Position, order: Order) -> Position:
    """Where reading began, for a package without a parent: contiguous offsets are assumed, as a log's are."""
    read: Position = {}
    for partition, count in order:
        read[partition] = read.get(partition, 0) + count
    return {part: max(0, offset - read.get(part, 0)) for part, offset in position.items()}


async def _place(checkpoint: Checkpoint, found: Checkpoint, source: Source, order: Order) -> str | None:
    """The first record learnt whose sum differs."""
    trail = checkpoint.blobs.get("trail")
    if trail is None:
        return None
    records = first_difference(trail, found.blobs["trail"])
    if records is None:
        return None
    first = await _place_of(records.start, checkpoint, source, order)
    last = await _place_of(records.stop - 1, checkpoint, source, order) if len(records) > 1 else first
    return first if first is None or last in (None, first) else f"{first} to {last}"


async def _place_of(number: int, checkpoint: Checkpoint, source: Source, order: Order) -> str | None:
    """PARTITION:OFFSET of the record that was learnt as the n-th of the stretch."""
    manifest = checkpoint.manifest
    excepted = Excepted(manifest.holes)
    left = sum(count for _, count in order)
    async with aclosing(source.read(_begin(manifest.position, order), order, BATCH)) as batches:
        async for records in batches:
            learnt = excepted.left(records.partition, range(records.offset, records.offset + len(records.payloads)))
            if number < len(learnt):
                return f"{records.partition}:{learnt[number]}"
            number -= len(learnt)
            left -= len(records.payloads)
            if left <= 0 or not records.payloads:
                return None
    return None


def _not(model_id: str, why: str) -> Proof:
    return Proof(id=model_id, outcome="cannot be proven", said=why)


def told(proofs: Sequence[Proof]) -> int:
    """The exit code: 0 where all are proven, 1 where one differs, 2 where one cannot be proven."""
    outcomes = {proof.outcome for proof in proofs}
    return 1 if "differs" in outcomes else 2 if "cannot be proven" in outcomes else 0
