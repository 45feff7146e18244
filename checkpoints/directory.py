"""Checkpoints in a directory of a local file system. Knows folders, flushes and renames, never what a blob means.

objects/sha256.<hex>/MODEL.json and one file a blob      the packages, immutable
notes/sha256.<hex>.json                                  what varies by run
HEAD                                                     the id of the tip of the live lineage
ledgers/<name>/<number>.json                             append-only ledgers, such as the history of a tag
LOCK, tmp/                                               held by the one writer; tmp is empty between writes
"""

import errno
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from checkpoints.checkpoint import Checkpoint, Note, Summary
from checkpoints.durable import exclusive, make_folder, read_bounded, remove_all, sync_folder, write_new
from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing, NotFlushed
from checkpoints.ledger import (
    ENTRY_LIMIT_BYTES,
    checked_entry,
    checked_ledger,
    checked_numbers,
    entry_taken,
    named,
    not_next,
)
from checkpoints.lineage import newest_first, superfluous
from checkpoints.manifest import MODEL_ID, verified
from checkpoints.package import (
    MANIFEST_LIMIT_BYTES,
    MODEL_JSON,
    NOTE_LIMIT_BYTES,
    bounded_manifest,
    checked_id,
    foreign,
    head_moved,
    is_whole,
    note_in,
    summary_of,
)

_FULL = (errno.ENOSPC, errno.EDQUOT)

logger = logging.getLogger(__name__)


class DirectoryStore:
    """A CheckpointStore under `path`, which the first save creates. Holds no state of its own.

    Writers take turns by a lock on `LOCK`, which the kernel frees when one dies: what lies in `tmp` while it is held
    belongs to no living writer. Raises CheckpointError when the lock is not free within `wait_s` seconds.
    """

    def __init__(self, path: str | os.PathLike[str], wait_s: float = 30.0) -> None:
        self._path = Path(path)
        self._objects = self._path / "objects"
        self._notes = self._path / "notes"
        self._tmp = self._path / "tmp"
        self._head = self._path / "HEAD"
        self._ledgers = self._path / "ledgers"
        self._wait_s = wait_s

    def save(self, checkpoint: Checkpoint, note: Note, expected_head: str | None) -> str:
        """See CheckpointStore. Everything is written and flushed in `tmp` before the first rename."""
        model_id = checkpoint.id
        with self._writing("checkpoint not saved"):
            self._fence(expected_head)
            self._stage(checkpoint, note)
            write_new(self._tmp / "HEAD", f"{model_id}\n".encode())
            self._publish(model_id)
            self._move_head(model_id)
        logger.info("checkpoint %s saved: %s", model_id, note.why)
        return model_id

    def keep(self, checkpoint: Checkpoint, note: Note) -> str:
        """See CheckpointStore."""
        with self._writing("checkpoint not kept"):
            self._stage(checkpoint, note)
            self._publish(checkpoint.id)
        logger.info("checkpoint %s kept: %s", checkpoint.id, note.why)
        return checkpoint.id

    def load(self, model_id: str) -> Checkpoint:
        """See CheckpointStore."""
        manifest = verified(model_id, self._read(checked_id(model_id), MODEL_JSON, MANIFEST_LIMIT_BYTES))
        blobs = {name: self._read(model_id, name, entry.size) for name, entry in manifest.blobs.items()}
        return Checkpoint(manifest, blobs)

    def list(self) -> Sequence[Summary]:
        """See CheckpointStore. A store that does not exist yet lists nothing."""
        try:
            names = [entry.name for entry in self._objects.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"checkpoints not listed: {error}") from error
        return newest_first(summary for name in names if (summary := self._summary(name)) is not None)

    def head(self) -> str | None:
        """See CheckpointStore."""
        try:
            found = read_bounded(self._head, 100).decode("ascii", "replace")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CheckpointDamaged(f"HEAD: {self._head} {error}; write the id of a checkpoint into it") from error
        except OSError as error:
            raise CheckpointError(f"HEAD not read: {error}") from error
        if not found.endswith("\n") or not MODEL_ID.fullmatch(found[:-1]):
            raise CheckpointDamaged(f"HEAD: {self._head} holds {found!r}; write the id of a checkpoint into it")
        return found[:-1]

    def prune(self, keep: int, also: Collection[str] = ()) -> Sequence[str]:
        """See CheckpointStore. A package leaves `objects` by one rename before anything in it is removed."""
        if self.head() is None:
            return []
        with self._writing("checkpoints not pruned"):
            listed = [summary for summary in self.list() if MODEL_ID.fullmatch(summary.id)]
            removed = superfluous(self.head(), listed, keep, also, named(self))
            for model_id in removed:
                (self._objects / model_id).rename(self._tmp / model_id)
            sync_folder(self._objects)
            self._sweep_notes()
        if removed:
            logger.info("checkpoints removed: %s", ", ".join(removed))
        return removed

    def ledgers(self) -> Sequence[str]:
        """See Ledgers."""
        try:
            return sorted(path.relative_to(self._ledgers).as_posix() for path in self._ledgers.glob("*/*"))
        except OSError as error:
            raise CheckpointError(f"ledgers not listed: {error}") from error

    def entries(self, ledger: str, first: int = 0) -> Sequence[bytes]:
        """See Ledgers."""
        folder = self._ledgers / checked_ledger(ledger)
        try:
            numbers = self._numbers(folder)[first:] if first <= 0 else tuple(self._from(ledger, first))
            return [read_bounded(self._entry(ledger, number), ENTRY_LIMIT_BYTES) for number in numbers]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise CheckpointError(f"ledger {ledger}: {error}") from error

    def enter(self, ledger: str, number: int, entry: bytes) -> None:
        """See Ledgers."""
        checked_entry(ledger, number, entry)
        with self._writing(f"ledger {ledger}: not entered"):
            self._fence_entry(ledger, number)
            folder = self._entry(ledger, number).parent
            make_folder(folder)
            write_new(self._tmp / "entry", entry)
            (self._tmp / "entry").rename(self._entry(ledger, number))
            sync_folder(folder)

    @contextmanager
    def _writing(self, failure: str) -> Iterator[None]:
        """Be the only writer, with an empty `tmp` before and after. Foreign errors become CheckpointErrors."""
        try:
            for folder in (self._objects, self._notes, self._tmp):
                make_folder(folder)
            with exclusive(self._path / "LOCK", self._wait_s):
                self._sweep()
                try:
                    yield
                finally:
                    self._sweep()
        except OSError as error:
            reason = f"no space in {self._path}" if error.errno in _FULL else str(error)
            raise CheckpointError(f"{failure}: {reason}") from error

    def _sweep(self) -> None:
        """Clear `tmp`. What resists is logged and left: it must not stand between a model and its checkpoint."""
        for leftover in list(self._tmp.iterdir()):
            try:
                remove_all(leftover)
            except OSError as error:
                logger.warning("leftover not removed: %s", error)

    def _sweep_notes(self) -> None:
        for path in list(self._notes.iterdir()):
            if MODEL_ID.fullmatch(path.stem) and not (self._objects / path.stem).exists():
                path.unlink()

    def _fence(self, expected_head: str | None) -> None:
        head = self.head()
        if head != expected_head:
            raise head_moved(self._path, head, expected_head)

    def _numbers(self, folder: Path) -> Sequence[int]:
        """Of all entries of a ledger."""
        return checked_numbers(str(folder), sorted(int(path.stem) for path in folder.iterdir()))

    def _from(self, ledger: str, first: int) -> Iterator[int]:
        """The numbers of entries from `first` on, without looking at those before."""
        while self._entry(ledger, first).exists():
            yield first
            first += 1

    def _fence_entry(self, ledger: str, number: int) -> None:
        if self._entry(ledger, number).exists():
            raise entry_taken(ledger, number)
        if number and not self._entry(ledger, number - 1).exists():
            raise not_next(ledger, number)

    def _entry(self, ledger: str, number: int) -> Path:
        return self._ledgers / ledger / f"{number:08d}.json"

    def _stage(self, checkpoint: Checkpoint, note: Note) -> None:
        """Write into `tmp` what is not kept yet: package and note."""
        manifest, model_id = bounded_manifest(checkpoint), checkpoint.id
        if not is_whole(self, model_id):
            package = self._tmp / model_id
            package.mkdir(0o700)
            for name, data in {**checkpoint.blobs, MODEL_JSON: manifest}.items():
                write_new(package / name, data)
            sync_folder(package)
        if self._note(model_id) is None:
            write_new(self._tmp / "note", msgspec.json.encode(note))

    def _publish(self, model_id: str) -> None:
        """Move into place what was staged: package, then note, each durable before the next."""
        package = self._objects / model_id
        if (self._tmp / model_id).exists():
            if package.exists():
                package.rename(self._tmp / "damaged")
            (self._tmp / model_id).rename(package)
        sync_folder(self._objects)
        if (self._tmp / "note").exists():
            (self._tmp / "note").rename(self._note_path(model_id))
            sync_folder(self._notes)

    def _move_head(self, model_id: str) -> None:
        (self._tmp / "HEAD").rename(self._head)
        try:
            sync_folder(self._path)
        except OSError as error:
            raise NotFlushed(f"HEAD names {model_id}, but {self._path} could not be flushed: {error}") from error

    def _summary(self, name: str) -> Summary | None:
        """None where the package was removed while it was being listed."""
        if not MODEL_ID.fullmatch(name):
            return foreign(name)
        try:
            data = self._read(name, MODEL_JSON, MANIFEST_LIMIT_BYTES)
        except CheckpointMissing:
            return None
        except CheckpointError as error:
            return Summary(name, self._note(name), 0, None, str(error))
        return summary_of(name, data, self._note(name))

    def _read(self, model_id: str, name: str, at_most: int) -> bytes:
        package = self._objects / model_id
        what = f"{model_id}: {name if name == MODEL_JSON else f'blob {name!r}'}"
        try:
            return read_bounded(package / name, at_most)
        except FileNotFoundError as error:
            if not package.exists():
                raise CheckpointMissing(f"{model_id} is not kept in {self._path}") from error
            raise CheckpointDamaged(f"{what} is missing") from error
        except NotADirectoryError as error:
            raise CheckpointDamaged(f"{what} is missing: {package} is not a directory") from error
        except ValueError as error:
            raise CheckpointDamaged(f"{what} {error}") from error
        except OSError as error:
            raise CheckpointError(f"{what} cannot be read: {error}") from error

    def _note(self, model_id: str) -> Note | None:
        try:
            return note_in(read_bounded(self._note_path(model_id), NOTE_LIMIT_BYTES))
        except (OSError, ValueError):
            return None

    def _note_path(self, model_id: str) -> Path:
        return self._notes / f"{model_id}.json"
