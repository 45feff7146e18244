"""Checkpoints of a trainer: when one is due, its snapshot, its writing in a thread, trying again, tidying up.

`Keeper` is for whoever learns without an event loop, as a bounded run does; `LiveKeeper` lets a service wait for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from checkpoints.checkpoint import Checkpoint, CheckpointStore, Note
from checkpoints.errors import CheckpointError, HeadMoved
from checkpoints.lineage import lineage
from stream_app.buried import LetterFile
from stream_app.config import CheckpointSettings
from stream_app.history import is_live
from stream_app.journal import Journal
from stream_app.sources.source import Position, Source, SourceError
from stream_app.trainer import Snapshot, Trainer

log = logging.getLogger(__name__)

PRUNE_PART = 4
"""Checkpoints are pruned when a quarter more than are to be kept may be there: looking through them takes a while."""

PAUSE_SHARE = 200.0
"""Checkpoints by number of events pause learning for at most a two-hundredth of the time, however fast events come."""

RETRY_S = 5.0
"""How long to wait after a checkpoint that could not be saved."""


class Keeper:
    """Saves a trainer's checkpoints, by the rules of `[checkpoints]`. HEAD moves only from where it left it.

    State is written by the one who learns. A checkpoint that was begun and could not be saved is tried again: until
    then `error` says why. HeadMoved is raised, as nothing can be saved any more. Dead letters in a file are durable
    before the checkpoint that counts them.
    """

    def __init__(
        self,
        trainer: Trainer,
        store: CheckpointStore,
        settings: CheckpointSettings,
        head: str | None,
        letters: LetterFile | None = None,
    ) -> None:
        self.head = head
        self.error: str | None = None
        self.saving: Future[str] | None = None
        self.trainer = trainer
        self.store = store
        self._settings = settings
        self._letters = letters
        self._thread = ThreadPoolExecutor(1, "checkpoints")  # begins with the first `begin`, after any fork
        self._saving_at: Position = {}
        self._saved_at = time.monotonic()
        self._saved_records = trainer.counts.records
        self._pause_s = 0.0
        self._unpruned = 0

    @property
    def has_new(self) -> bool:
        """Whether something was learnt after the last checkpoint that was begun, or that one could not be saved."""
        return self.error is not None or self.trainer.counts.records != self._saved_records

    def due(self) -> str | None:
        """Why a checkpoint should begin now; None where none should. Hears of the one before."""
        if self.saving is not None:
            if not self.saving.done():
                return None
            self.settle()
        new = self.trainer.counts.records - self._saved_records
        age_s = time.monotonic() - self._saved_at
        settings = self._settings
        if self.error is not None:
            return "tried again" if age_s >= RETRY_S else None
        if new >= settings.every_events and age_s >= self._pause_s:
            return f"every {settings.every_events} events"
        return f"every {settings.every_s:g} s" if new and age_s >= settings.every_s else None

    def begin(self, why: str) -> None:
        """Take a snapshot now; it is written while learning goes on. `settle` before the next one."""
        snapshot = self._snapshot()
        self._saving_at = dict(self.trainer.position)
        self.saving = self._thread.submit(self._write, snapshot.checkpoint, why, self.head)

    def settle(self) -> Position | None:
        """Wait for the checkpoint being written. Its position once it is durable; None without one, or where it failed.

        Raises HeadMoved, and whatever a store should not raise.
        """
        if self.saving is None:
            return None
        try:
            self.head = self.saving.result()
        except CheckpointError as error:
            self.saving = None
            self.trainer.settle(None)
            self.error = str(error)
            if isinstance(error, HeadMoved):
                raise
            return None
        self.saving = None
        self.error = None
        self.trainer.settle(self.head)
        return self._saving_at

    def save(self, why: str) -> Checkpoint:
        """Take a checkpoint if anything was learnt since the last, and wait until it is durable; the last one is given.

        Begins no thread. Raises CheckpointError.
        """
        self.settle()
        if self.head is None or self.has_new:
            self.head = self._write(self._snapshot().checkpoint, why, self.head)
            self.error = None
            self.trainer.settle(self.head)
        return self.store.load(self.head)

    def keep(self, checkpoint: Checkpoint, why: str) -> str:
        """Save a checkpoint that was made already, as the child of the last one. Raises CheckpointError."""
        self.settle()
        self.head = self._write(lambda: checkpoint, why, self.head)
        return self.head

    def restored(self) -> None:
        """The trainer has become the last checkpoint: nothing is new, and nothing is left to try again."""
        self._saved_records, self._saved_at = self.trainer.counts.records, time.monotonic()
        self.error = None

    def close(self) -> None:
        """Wait for what is being written. Nothing else may be called afterwards."""
        self._thread.shutdown()

    def _snapshot(self) -> Snapshot:
        began_at = time.monotonic()
        snapshot = self.trainer.snapshot()
        self._saved_at = time.monotonic()
        self._pause_s = (self._saved_at - began_at) * PAUSE_SHARE
        self._saved_records = self.trainer.counts.records
        return snapshot

    def _write(self, checkpoint_of: Callable[[], Checkpoint], why: str, head: str | None) -> str:
        """Everything that touches the disk."""
        if self._letters is not None:
            self._letters.sync()
        checkpoint = checkpoint_of()
        try:
            self.store.save(checkpoint, Note.now(why, checkpoint.manifest.versions["weir"]), head)
        except HeadMoved:
            raise
        except CheckpointError as error:
            # Only the very last flush may fail after HEAD has moved.
            if self.store.head() != checkpoint.id:
                raise
            log.warning("checkpoint %s is saved, but: %s", checkpoint.id, error)
        self._prune()
        return checkpoint.id

    def _prune(self) -> None:
        """What is saved stays saved where tidying up fails."""
        keep = self._settings.keep
        self._unpruned += 1
        if self._unpruned > keep // PRUNE_PART:
            self._unpruned = 0
            try:
                self.store.prune(keep, [summary.id for summary in self.store.list()[:keep]])
            except CheckpointError as error:
                log.warning("old checkpoints stay: %s", error)


class LiveKeeper:
    """`Keeper` for a service: who waits for a checkpoint lets the event loop go on. One call at a time.

    What no restart needs any more after a checkpoint, journal and source may forget; a source without retention, none.
    """

    def __init__(self, keeper: Keeper, journal: Journal, retaining: Source | None) -> None:
        self._keeper = keeper
        self._journal = journal
        self._retaining = retaining

    @property
    def head(self) -> str | None:
        """The last checkpoint that is durable."""
        return self._keeper.head

    @property
    def error(self) -> str | None:
        """Why the last checkpoint was not saved; None where it was."""
        return self._keeper.error

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
            log.error("%s", error)
        position = self._keeper.settle()
        if position is not None:
            self._journal.forget(position)
            self._release()
            log.info("checkpoint %s", self.head)

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

    async def become(self, checkpoint: Checkpoint, why: str) -> str:
        """Save a checkpoint that was made already, then go on learning from it.

        Raises CheckpointError where it cannot be saved: then nothing has changed.
        """
        model_id = await asyncio.to_thread(self._keeper.keep, checkpoint, why)
        self._keeper.trainer.restore(checkpoint)
        self._keeper.restored()
        return model_id

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
