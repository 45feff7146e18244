"""Checkpoints of a bounded run: a snapshot when it is due, written in a thread while learning goes on."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from checkpoints.checkpoint import Checkpoint, CheckpointStore, Note
from checkpoints.errors import CheckpointError, HeadMoved
from stream_app.buried import LetterFile
from stream_app.config import CheckpointSettings
from stream_app.service import PAUSE_SHARE, PRUNE_PART, RETRY_S
from stream_app.trainer import Snapshot, Trainer

log = logging.getLogger(__name__)


class Keeper:
    """Saves a trainer's checkpoints, by the rules of `[checkpoints]`. HEAD moves only from where it left it.

    Dead letters are durable before the checkpoint that counts them. A checkpoint that could not be saved is tried
    again; `save` raises what still prevents it.
    """

    def __init__(
        self,
        trainer: Trainer,
        store: CheckpointStore,
        settings: CheckpointSettings,
        begun: Checkpoint | None,
        letters: LetterFile | None,
    ) -> None:
        self.head = begun.id if begun is not None else None
        self._trainer = trainer
        self._store = store
        self._settings = settings
        self._letters = letters
        self._thread = ThreadPoolExecutor(1, "checkpoints")  # begins with the first `begin`, after any fork
        self._saving: Future[str] | None = None
        self._failed: CheckpointError | None = None
        self._saved_at = time.monotonic()
        self._saved_records = trainer.counts.records
        self._pause_s = 0.0
        self._unpruned = 0

    def is_due(self) -> bool:
        """Whether a checkpoint should begin now; hears of the one before."""
        if self._saving is not None:
            if not self._saving.done():
                return False
            self._settle()
        age_s = time.monotonic() - self._saved_at
        if self._failed is not None:
            return age_s >= RETRY_S
        new = self._trainer.counts.records - self._saved_records
        return (new >= self._settings.every_events and age_s >= self._pause_s) or (
            new > 0 and age_s >= self._settings.every_s
        )

    def begin(self, why: str) -> None:
        """Take a snapshot now; it is written while learning goes on."""
        snapshot = self._snapshot()
        self._saving = self._thread.submit(self._write, snapshot.checkpoint, why, self.head)

    def save(self, why: str) -> Checkpoint:
        """Take a checkpoint if anything was learnt since the last, and wait until it is durable; the last one is given.

        Raises CheckpointError.
        """
        self._settle()
        if self.head is None or self._failed is not None or self._trainer.counts.records != self._saved_records:
            checkpoint = self._snapshot().checkpoint()
            self.head = self._write(lambda: checkpoint, why, self.head)
            self._trainer.settle(self.head)
            self._failed = None
        return self._store.load(self.head)

    def keep(self, checkpoint: Checkpoint, why: str) -> str:
        """Save a checkpoint that was made already, as the child of the last one. Raises CheckpointError."""
        self._settle()
        self.head = self._write(lambda: checkpoint, why, self.head)
        return self.head

    def close(self) -> None:
        """Wait for what is being written. Nothing else may be called afterwards."""
        self._thread.shutdown()

    def _snapshot(self) -> Snapshot:
        began_at = time.monotonic()
        snapshot = self._trainer.snapshot()
        self._saved_at = time.monotonic()
        self._pause_s = (self._saved_at - began_at) * PAUSE_SHARE
        self._saved_records = self._trainer.counts.records
        return snapshot

    def _settle(self) -> None:
        if self._saving is None:
            return
        saving, self._saving = self._saving, None
        try:
            self.head = saving.result()
        except CheckpointError as error:
            self._trainer.settle(None)
            self._failed = error
            if isinstance(error, HeadMoved):
                raise
            return
        self._failed = None
        self._trainer.settle(self.head)

    def _write(self, checkpoint_of: Callable[[], Checkpoint], why: str, head: str | None) -> str:
        if self._letters is not None:
            self._letters.sync()
        checkpoint = checkpoint_of()
        try:
            self._store.save(checkpoint, Note.now(why, checkpoint.manifest.versions["weir"]), head)
        except HeadMoved:
            raise
        except CheckpointError:
            # Only the very last flush may fail after HEAD has moved.
            if self._store.head() != checkpoint.id:
                raise
        self._prune()
        return checkpoint.id

    def _prune(self) -> None:
        """What is saved stays saved where tidying up fails."""
        self._unpruned += 1
        if self._unpruned > self._settings.keep // PRUNE_PART:
            self._unpruned = 0
            try:
                self._store.prune(self._settings.keep)
            except CheckpointError as error:
                log.warning("old checkpoints stay: %s", error)
