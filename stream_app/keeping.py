"""Checkpoints of a trainer: when one is due, its snapshot, its writing in a thread, trying again, tidying up.

For whoever learns without an event loop, as a bounded run does; a service waits by stream_app.live_keeper.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from checkpoints.checkpoint import Checkpoint, CheckpointStore, Note
from checkpoints.errors import CheckpointError, HeadMoved, NotFlushed
from stream_app.buried import LetterFile
from stream_app.settings import CheckpointSettings
from stream_app.snapshot import Snapshot
from stream_app.sources.source import Position
from stream_app.trainer import Trainer

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
        self.taken_at: float | None = None
        """When the checkpoint that is HEAD was taken, Unix seconds; None where that is not known."""
        self._written_at = 0.0
        self.took_s = 0.0
        """From the snapshot of the last checkpoint until it was durable."""
        self.error: str | None = None
        self.saving: Future[str] | None = None
        self.trainer = trainer
        self.store = store
        self._settings = settings
        self._letters = letters
        self._thread = ThreadPoolExecutor(1, "checkpoints")  # begins with the first `begin`, after any fork
        self._saving_at: Position = {}
        self._begun_at = 0.0
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
            self.taken_at = self._written_at
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

    def become(self, checkpoint: Checkpoint, taken_at: float | None) -> None:
        """Go on from a checkpoint that HEAD names: nothing is new, and nothing is left to try again.

        Raises TrainerError where it does not fit: then nothing has changed.
        """
        self.trainer.restore(checkpoint)
        self.head, self.taken_at = checkpoint.id, taken_at
        self._saved_records, self._saved_at = self.trainer.counts.records, time.monotonic()
        self.error = None

    def close(self) -> None:
        """Wait for what is being written. Nothing else may be called afterwards."""
        self._thread.shutdown()

    def _snapshot(self) -> Snapshot:
        self._begun_at = time.monotonic()
        snapshot = self.trainer.snapshot()
        self._saved_at = time.monotonic()
        self._pause_s = (self._saved_at - self._begun_at) * PAUSE_SHARE
        self._saved_records = self.trainer.counts.records
        return snapshot

    def _write(self, checkpoint_of: Callable[[], Checkpoint], why: str, head: str | None) -> str:
        """Everything that touches the disk."""
        if self._letters is not None:
            self._letters.sync()
        checkpoint = checkpoint_of()
        note = Note.now(why, checkpoint.manifest.versions["weir"])
        try:
            self.store.save(checkpoint, note, head)
        except NotFlushed as error:
            log.warning("checkpoint %s is saved, but: %s", checkpoint.id, error)
        self._written_at = note.created_at
        self.took_s = time.monotonic() - self._begun_at
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


def taken_at(store: CheckpointStore, model_id: str | None) -> float | None:
    """When a checkpoint was taken, as its note says, Unix seconds; None without either. Reads all manifests."""
    notes = {summary.id: summary.note for summary in store.list()} if model_id is not None else {}
    note = notes.get(model_id or "")
    return None if note is None else note.created_at
