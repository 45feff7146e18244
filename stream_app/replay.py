"""Replay: a package made by learning the past again, with other arguments or without some events."""

import asyncio

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore, Note
from checkpoints.manifest import Hole
from stream_app.config import replaced
from stream_app.history import check_live
from stream_app.leaving_out import Exceptions, LeavingOut
from stream_app.loaded_models import named
from stream_app.moment import Moment
from stream_app.progressive.scores import part
from stream_app.refusal import ServiceError
from stream_app.relearning import Relearning, Tell
from stream_app.settings import ConfigError, Settings
from stream_app.sources.source import Position, Source
from stream_app.timeline import Timeline

START = "start"
"""Names the state before anything was learnt."""


class Replayed(msgspec.Struct, frozen=True):
    """What came out."""

    id: str
    parent: str | None
    position: Position
    records: int
    """Passed, those left out included."""
    left_out: dict[str, int]
    """Records left out, by reason."""
    average_loss: float | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to learn again, to where, and without what."""

    base: str
    """An id, a prefix, or `start`."""
    to: Moment | None = None
    exceptions: Exceptions = Exceptions()
    why: str = "left out"
    learner_kind: str | None = None
    learner_args: str | None = None

    @property
    def note(self) -> str:
        """What the listing says of the package."""
        return f"replay from {self.base}"


async def replay(
    settings: Settings,
    store: CheckpointStore,
    source: Source,
    timeline: Timeline,
    wanted: Wanted,
    tell: Tell = lambda passed: None,
) -> Replayed:
    """Learn again what `wanted` says, and keep the result beside the lineage: HEAD and the live model stay.

    The package's parent is where it began, so `weir verify` proves it; its manifest says what was left out. Raises
    ServiceError, SourceError, CheckpointError, TrainerError or ConfigError.
    """
    base = None
    if wanted.base != START:
        base = await asyncio.to_thread(store.load, await named(store, wanted.base))
        check_live(base)
        if wanted.learner_args is not None or wanted.learner_kind is not None:
            raise ConfigError(
                "--learner-args: another learner cannot go on from weights that it has not learnt; use --from start"
            )
    else:
        _check_start(timeline, source)
    settings = _with_learner(settings, wanted)
    target = wanted.to or _tip(timeline, source)
    again = Relearning(settings, base, source)
    if wanted.to is not None:
        again.check_ahead(wanted.to, wanted.base)
    known = _known_holes(timeline)
    leave = LeavingOut(again.settings, again.trainer.parts.format, wanted.exceptions, wanted.why, known)
    order = timeline.order_after(base.id if base is not None else None, source)
    await again.to(target, order, leave, tell)
    checkpoint = again.trainer.snapshot().checkpoint()
    note = Note.now(wanted.note, checkpoint.manifest.versions["weir"], is_pinned=True)
    await asyncio.to_thread(store.keep, checkpoint, note)
    return _replayed(checkpoint, leave)


def _with_learner(settings: Settings, wanted: Wanted) -> Settings:
    changes: dict[str, object] = {}
    if wanted.learner_kind is not None:
        changes |= {"kind": wanted.learner_kind, "args": None}
    if wanted.learner_args is not None:
        changes["args"] = wanted.learner_args
    return replaced(settings, "learner", **changes) if changes else settings


def _tip(timeline: Timeline, source: Source) -> Moment:
    """Where the newest checkpoint stands; without one, the end of the source."""
    return Moment(dict(timeline.tip.position) if timeline.tip is not None else source.end())


def _check_start(timeline: Timeline, source: Source) -> None:
    """Raises ServiceError where the source does not begin where the model did."""
    if any(source.start().values()):
        raise ServiceError("--from start: the source no longer has its beginning; name a checkpoint that is kept")
    if timeline.tip is not None and timeline.tip.backfill is not None:
        raise ServiceError("--from start: the model began with files; name the checkpoint at their end, or a later one")


def _known_holes(timeline: Timeline) -> list[Hole]:
    """What was taken out of the live model, and so must not come back by a replay; not what a rollback skipped."""
    holes = [*timeline.tip.holes, *timeline.tip.except_] if timeline.tip is not None else []
    return [hole for hole in holes if not hole.why.startswith("rolled back to ")]


def _replayed(checkpoint: Checkpoint, leave: LeavingOut) -> Replayed:
    manifest = checkpoint.manifest
    loss = part(manifest.metrics, "total").get("average_loss")
    return Replayed(
        id=checkpoint.id,
        parent=manifest.parent,
        position=manifest.position,
        records=manifest.since_parent.records,
        left_out=dict(leave.counts),
        average_loss=loss if isinstance(loss, float) else None,
    )
