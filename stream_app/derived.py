"""Checkpoints that are made of another one without learning: rollback, takeover, the end of a backfill.

Each changes nothing: save it, then `Trainer.restore` it. Each raises TrainerError for a checkpoint that does not fit.
"""

from collections.abc import Sequence

import msgspec

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Backfill, Hole
from stream_app.holes import split
from stream_app.sources.source import Position
from stream_app.stretch import OpenStretch
from stream_app.trainer import Trainer, TrainerError


def skipped_to_here(trainer: Trainer, checkpoint: Checkpoint) -> Checkpoint:
    """The model of another checkpoint at the present position; what it has not learnt before that is a hole.

    What it has learnt beyond the present position is not read again.
    """
    why = f"rolled back to {checkpoint.id} with --skip"
    old, here = checkpoint.manifest.position, trainer.position
    position = {part: max(old.get(part, 0), here.get(part, 0)) for part in sorted(old.keys() | here.keys())}
    gaps = [(part, old.get(part, 0), offset) for part, offset in position.items()]
    holes = [Hole(partition=part, first=first, last=last, why=why) for part, first, last in gaps if first < last]
    _, ahead = split([*checkpoint.manifest.except_, *trainer.ahead.holes], position)
    blobs = {**checkpoint.blobs, "dedupe": trainer.parts.dedupe.state()}
    return _derived(trainer, checkpoint, blobs, position, holes, ahead)


def replayed_from(trainer: Trainer, checkpoint: Checkpoint, exceptions: Sequence[Hole]) -> Checkpoint:
    """Another checkpoint, position included, that from there on passes over the records of `exceptions`.

    Raises TrainerError also for one that has learnt from one of the exceptions.
    """
    position = checkpoint.manifest.position
    for hole in exceptions:
        if hole.first < position.get(hole.partition, 0):
            raise TrainerError(
                f"except: {checkpoint.id} has learnt from {hole.partition}:{hole.first} already, as its position "
                f"is {hole.partition}:{position[hole.partition]}: roll back to an older one"
            )
    ahead = [*checkpoint.manifest.except_, *exceptions]
    return _derived(trainer, checkpoint, checkpoint.blobs, position, [], ahead)


def taken_over(trainer: Trainer, checkpoint: Checkpoint, is_order_lost: bool) -> Checkpoint:
    """A checkpoint from which this service learns on, where another one did before.

    With `is_order_lost`, what that one learnt afterwards is learnt in an order of our own; the manifest says so.
    """
    old = checkpoint.manifest
    derived = _derived(trainer, checkpoint, checkpoint.blobs, old.position, [], old.except_)
    if not is_order_lost or old.order_lost_at is not None:
        return derived
    manifest = msgspec.structs.replace(derived.manifest, order_lost_at=dict(old.position))
    return Checkpoint.of(manifest, derived.blobs)


def finished(trainer: Trainer, checkpoint: Checkpoint, backfill: Backfill) -> Checkpoint:
    """A checkpoint whose position counts in files, with everything learnt, at the beginning of the live stream."""
    derived = _derived(trainer, checkpoint, checkpoint.blobs, backfill.live_from, [], [])
    manifest = msgspec.structs.replace(derived.manifest, backfill=backfill)
    return Checkpoint.of(manifest, derived.blobs)


def _derived(
    trainer: Trainer,
    old: Checkpoint,
    blobs: dict[str, bytes],
    position: Position,
    holes: Sequence[Hole],
    ahead: Sequence[Hole],
) -> Checkpoint:
    """A child of `old` without a stretch of its own."""
    trainer.check(old)
    identity, stretch = trainer.identity, OpenStretch(old.id)
    manifest = msgspec.structs.replace(
        old.manifest,
        model=identity.model,
        schema=identity.schema,
        versions=identity.versions,
        platform=identity.platform,
        git_commit=identity.git_commit,
        parent=old.id,
        position=position,
        since_parent=stretch.closed(),
        holes=[*old.manifest.holes, *holes],
        except_=sorted(dict.fromkeys(ahead), key=lambda hole: (hole.partition, hole.first)),
        begun=trainer.begun,
    )
    return Checkpoint.of(manifest, {**blobs, **stretch.blobs()})
