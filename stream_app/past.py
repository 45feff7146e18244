"""The past of the live model: what it was at a moment, rebuilt from the newest checkpoint before it and the log."""

import asyncio

from checkpoints.checkpoint import CheckpointStore
from checkpoints.errors import CheckpointMissing
from checkpoints.manifest import MODEL_ID
from stream_app import wiring
from stream_app.moment import Moment, moment
from stream_app.past_prediction import PastPrediction
from stream_app.refusal import ServiceError
from stream_app.relearning import Relearning
from stream_app.serving import LiveModel
from stream_app.settings import Settings
from stream_app.sources.source import Source
from stream_app.stored_model import StoredModel
from stream_app.timeline import Timeline


class Past:
    """Rebuilds models; changes nothing. Raises ServiceError, SourceError, CheckpointError or TrainerError.

    Exact for learners that resume exactly: the weights are those of that moment, byte for byte.
    """

    def __init__(self, settings: Settings, store: CheckpointStore, source: Source, timeline: Timeline) -> None:
        self._settings = settings
        self._store = store
        self._source = source
        self._timeline = timeline

    async def at(self, wanted: Moment) -> LiveModel:
        """The live model of the present lineage at a moment."""
        base = self._timeline.at_or_before(wanted.position)
        if base is None:
            self._timeline.check_from_nothing(self._source)
        return await self._rebuilt(base, wanted)

    async def at_time(self, time_s: float) -> LiveModel:
        """The live model when it had learnt what had been appended by then, and nothing else. Unix seconds."""
        base = self._timeline.taken_by(time_s)
        if base is None:
            self._timeline.check_from_nothing(self._source)
        if not self._source.keeps_order and len(self._source.end()) > 1:
            raise ServiceError("several partitions without an order of their own: name the offsets, not a time")
        again = await self._begun(base)
        await again.until(time_s)
        return _live(again)

    async def of(self, served: PastPrediction) -> StoredModel | LiveModel:
        """The model that gave a prediction."""
        if MODEL_ID.fullmatch(served.model):
            return wiring.build_stored(self._settings, await asyncio.to_thread(self._store.load, served.model))
        wanted = moment(served.model)
        if served.since is None or self._timeline.manifest(served.since) is None:
            return await self.at(wanted)
        return await self._rebuilt(served.since, wanted)

    async def _rebuilt(self, base: str | None, wanted: Moment) -> LiveModel:
        again = await self._begun(base)
        order = self._timeline.order_after(base, self._source)
        await again.to(wanted, order)
        return _live(again)

    async def _begun(self, base: str | None) -> Relearning:
        checkpoint = None
        if base is not None:
            try:
                checkpoint = await asyncio.to_thread(self._store.load, base)
            except CheckpointMissing as error:
                raise ServiceError(f"{base} was removed meanwhile: try again") from error
        return Relearning(self._settings, checkpoint, self._source)


def _live(again: Relearning) -> LiveModel:
    return LiveModel(again.trainer.live_id, again.learner, again.trainer.parts.format)
