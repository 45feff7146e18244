"""Where the two lanes of a shadow begin: its own model and the primary one, brought to the same place of the stream."""

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore
from checkpoints.directory import DirectoryStore
from checkpoints.tags import LIVE
from stream_app import wiring
from stream_app.config import replaced
from stream_app.keeping import Keeper
from stream_app.lane import Lane, frozen_lane, lane_of, new_lane
from stream_app.moment import Moment
from stream_app.refusal import ServiceError
from stream_app.relearning import Relearning
from stream_app.settings import CheckpointSettings, Settings
from stream_app.shadow_frames import ShadowSpec
from stream_app.sources.merge import lost_before
from stream_app.sources.source import Position, PositionLost, Records, Source
from stream_app.state_folder import JOURNAL
from stream_app.timeline import Timeline

BATCH = 128
SAVED = CheckpointSettings(every_events=5_000, every_s=10.0, keep=3)
"""When a shadow that learns saves itself, in its own folder."""


class ShadowLanes:
    """Builds the lanes from the stores and the source. `alive` is called again and again where that takes long.

    A shadow that learns is where it was when it was last saved; the primary model is learnt again up to there. Where
    the live model never stood there since its last rollback or takeover, the shadow learns on alone to where the newest
    checkpoint is; so it does where retention has taken what the live model would learn again. A stored model begins
    where comparing ended, or at the newest checkpoint.
    """

    def __init__(self, spec: ShadowSpec, settings: Settings, source: Source, alive: Callable[[], None]) -> None:
        self._spec = spec
        self._settings = settings
        self._source = source
        self._alive = alive
        self._store: CheckpointStore = wiring.build_store(settings)
        self._timeline = Timeline(self._store, Path(settings.state.dir, JOURNAL))
        self._head = self._loaded(self._timeline.head)

    async def stored(self, model_id: str, compared: Position) -> tuple[Lane, Lane]:
        """The lanes of a stored model, from a place on where all up to `compared` has been compared."""
        base = self._base(compared) if compared else self._head
        shadow = self._frozen(model_id, base)
        if self._spec.primary != LIVE:
            return shadow, self._frozen(self._spec.primary, base)
        if base is None:
            return shadow, new_lane(LIVE, self._settings)
        return shadow, lane_of(LIVE, self._settings, base)

    def lost(self, folder: Path) -> dict[int, range]:
        """Per partition, the records that a learner saved in `folder` would have to learn next, and are not kept."""
        store = DirectoryStore(folder)
        head = store.head()
        learnt = store.load(head).manifest.position if head is not None else {}
        start = self._source.start()
        # One that has learnt anything stood at the beginning of the partitions that it knows nothing of.
        return lost_before(start, {**dict.fromkeys(start, 0), **learnt} if learnt else {})

    async def learning(self, folder: Path) -> tuple[Lane, Lane, Keeper]:
        """The lanes of a learner of its own, and who saves it in `folder`."""
        spec, store = self._spec, DirectoryStore(folder)
        lane = new_lane(spec.name, replaced(self._settings, "learner", kind=spec.kind, args=spec.args))
        head = store.head()
        if head is not None:
            lane.trainer.restore(store.load(head))
        elif spec.begin == LIVE and self._head is not None:
            lane.trainer.stand_at(self._head.manifest.position)
            lane.trainer.parts.dedupe.restore(self._head.blobs["dedupe"])
        else:
            lane.trainer.stand_at({part: offset for part, offset in self._source.start().items() if offset})
        primary = await self._live_beside(lane)
        return lane, primary, Keeper(lane.trainer, store, SAVED, head)

    async def _live_beside(self, lane: Lane) -> Lane:
        """The live model where the lane is; or where it is now, and then the lane is brought there."""
        try:
            return await self._past(dict(lane.trainer.position))
        except (ServiceError, PositionLost):
            live = new_lane(LIVE, self._settings)
            if self._head is not None:
                live = lane_of(LIVE, self._settings, self._head)
            await self._meet(lane, live)
            return live

    async def _past(self, position: Position) -> Lane:
        """Raises ServiceError where the live model, as it is since its last rollback or takeover, never stood there."""
        base = self._timeline.at_or_before(position)
        if base is None:
            self._timeline.check_from_nothing(self._source)
        again = Relearning(self._settings, self._loaded(base), self._source)
        if self._head is not None and again.trainer.begun != self._head.begun:
            raise ServiceError(f"{Moment(position).name}: from before the last rollback or takeover")
        order = self._timeline.order_after(base, self._source)
        await again.to(Moment(position), order, tell=lambda passed: self._alive())
        return Lane(LIVE, again.trainer, again.settings)

    async def _meet(self, one: Lane, other: Lane) -> None:
        """Each learns alone what only the other one has learnt."""
        both = one.trainer.position, other.trainer.position
        target = {part: max(at.get(part, 0) for at in both) for part in {**both[0], **both[1]}}
        for lane in (one, other):
            await self._learn_to(target, lane)

    async def _learn_to(self, target: Position, lane: Lane) -> None:
        position = lane.trainer.position
        async with aclosing(self._source.read(dict(position), [], BATCH)) as batches:
            while any(offset > position.get(part, 0) for part, offset in target.items()):
                records = _up_to(target, await anext(batches))
                if records.payloads:
                    lane.learn(records)
                self._alive()

    def _base(self, compared: Position) -> Checkpoint | None:
        """The newest checkpoint before `compared`; the newest of all where that is too old, or from another past."""
        try:
            base = self._loaded(self._timeline.at_or_before(compared))
        except ServiceError:
            return self._head
        start = self._source.start()
        is_kept = base is not None and all(at >= start.get(part, 0) for part, at in base.manifest.position.items())
        return base if is_kept else self._head

    def _frozen(self, model_id: str, base: Checkpoint | None) -> Lane:
        position, dedupe = (base.manifest.position, base.blobs["dedupe"]) if base is not None else ({}, None)
        return frozen_lane(model_id, self._settings, self._store.load(model_id), position, dedupe)

    def _loaded(self, model_id: str | None) -> Checkpoint | None:
        return self._store.load(model_id) if model_id is not None else None


def _up_to(target: Position, records: Records) -> Records:
    """Those of the records that lie before."""
    left = max(0, target.get(records.partition, 0) - records.offset)
    return msgspec.structs.replace(records, payloads=records.payloads[:left])
