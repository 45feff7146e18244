"""Checkpoints of a service: saved, followed and begun from, while its event loop goes on."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from checkpoints.checkpoint import Checkpoint
from checkpoints.errors import CheckpointError, HeadMoved
from checkpoints.lineage import lineage
from stream_app.history import check_live, is_live
from stream_app.journal import Journal
from stream_app.keeping import Keeper, taken_at
from stream_app.sources.source import Position, Source, SourceError

log = logging.getLogger(__name__)


class LiveKeeper:
    """`Keeper` for a service: who waits for a checkpoint lets the event loop go on. One call at a time.

    What no restart needs any more after a checkpoint, journal and source may forget; a source without retention, none.
    """

    def __init__(
        self, keeper: Keeper, journal: Journal, retaining: Source | None, told: Callable[[Position, float], None]
    ) -> None:
        """`told` hears at which position a checkpoint has become durable, and in how many seconds."""
        self._told = told
        self._keeper = keeper
        self._journal = journal
        self._retaining = retaining
        self.failures = 0
        """Checkpoints that could not be saved since the start, each try counted."""

    @property
    def head(self) -> str | None:
        """The last checkpoint that is durable."""
        return self._keeper.head

    @property
    def error(self) -> str | None:
        """Why the last checkpoint was not saved; None where it was."""
        return self._keeper.error

    @property
    def age_s(self) -> float | None:
        """Seconds since the last checkpoint was taken."""
        taken = self._keeper.taken_at
        return None if taken is None else round(max(0.0, time.time() - taken), 3)

    @property
    def has_new(self) -> bool:
        """See Keeper.has_new."""
        return self._keeper.has_new

    async def save_if_due(self) -> None:
        """Begin a checkpoint where one is due, and hear of the one before. Raises HeadMoved."""
        saving = self._keeper.saving
        if saving is not None:
            if saving.done():
                await self.settle()
            return
        why = self._keeper.due()
        if why is not None:
            self._keeper.begin(why)

    async def settle(self) -> None:
        """Wait for the checkpoint being written, if any. A failure is kept and tried again later. Raises HeadMoved."""
        saving = self._keeper.saving
        if saving is None:
            return
        try:
            # Shielded: where the one who waits is cancelled, the thread goes on, and the next one hears the outcome.
            await asyncio.shield(asyncio.wrap_future(saving))
        except CheckpointError as error:
            self.failures += 1
            log.error("%s", error)
        position = self._keeper.settle()
        if position is not None:
            self._journal.forget(position)
            self._release()
            self._told(position, self._keeper.took_s)

    async def save(self, why: str) -> str:
        """Take a checkpoint and wait until it is durable. Where nothing was learnt since, it is the last one.

        Raises CheckpointError.
        """
        await self.settle()
        if self.head is None or self._keeper.has_new:
            self._keeper.begin(why)
            await self.settle()
        if self.head is None or self.error is not None:
            raise CheckpointError(self.error or "checkpoint not saved")
        return self.head

    async def begin_from(self, checkpoint: Checkpoint, why: str) -> str:
        """Save a checkpoint that was made already, then go on learning from it. What was learnt since is no more.

        Raises CheckpointError where it cannot be saved: then nothing has changed.
        """
        model_id = await asyncio.to_thread(self._keeper.keep, checkpoint, why)
        self._keeper.become(checkpoint, time.time())
        if not self._journal.begins_at(model_id):
            self._journal.rewind(checkpoint.manifest.position, model_id)
        return model_id

    async def begin(self, why: str) -> None:
        """Save the very first checkpoint, of a learner that has learnt nothing. Raises CheckpointError."""
        model_id = await self.save(why)
        if not self._journal.begins_at(model_id):
            self._journal.rewind(self._keeper.trainer.position, model_id)

    async def load(self, model_id: str) -> Checkpoint:
        """A checkpoint of the store whose position counts in the live stream. Raises CheckpointError, TrainerError."""
        checkpoint = await asyncio.to_thread(self._keeper.store.load, model_id)
        check_live(checkpoint)
        return checkpoint

    async def follow(self) -> bool:
        """Become the checkpoint that HEAD names, where that is another one by now; returns whether it was.

        Raises CheckpointError where it cannot be loaded, TrainerError where it does not fit.
        """
        head = await asyncio.to_thread(self._keeper.store.head)
        if head is None or head == self.head:
            return False
        at = await asyncio.to_thread(taken_at, self._keeper.store, head)
        self._keeper.become(await self.load(head), at)
        return True

    async def abandon(self) -> None:
        """Let go of a checkpoint that is being written: another service saves now."""
        with suppress(HeadMoved):
            await self.settle()

    def _release(self) -> None:
        """Retention may forget what no kept checkpoint of this lineage would read again."""
        if self._retaining is None:
            return
        try:
            line = lineage(self.head, self._keeper.store.list())
            kept = [manifest for summary in line if (manifest := summary.manifest) is not None and is_live(manifest)]
            if kept:
                self._retaining.release(kept[-1].position)
        except (CheckpointError, SourceError) as error:
            log.warning("old records stay: %s", error)
