"""Checkpoints in a directory of a local file system. Knows folders, flushes and renames, never what a blob means.

objects/sha256.<hex>/MODEL.json and one file a blob      the packages, immutable
notes/sha256.<hex>.json                                  what varies by run
HEAD                                                     the id of the tip of the live lineage
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
from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing, HeadMoved
from checkpoints.lineage import newest_first, superfluous
from checkpoints.manifest import MODEL_ID, Manifest, decode, id_of

MANIFEST_LIMIT_BYTES = 64 * 1024 * 1024
_MANIFEST = "MODEL.json"
_NOTE_LIMIT_BYTES = 64 * 1024
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
        self._wait_s = wait_s

    def save(self, checkpoint: Checkpoint, note: Note, expected_head: str | None) -> str:
        """See CheckpointStore. Everything is written and flushed in `tmp` before the first rename."""
        manifest, model_id = checkpoint.model_json, checkpoint.id
        if len(manifest) > MANIFEST_LIMIT_BYTES:
            raise CheckpointError(f"manifest is {len(manifest)} bytes, expected at most {MANIFEST_LIMIT_BYTES}")
        with self._writing("checkpoint not saved"):
            self._fence(expected_head)
            if not self._is_kept(model_id):
                self._stage(model_id, {**checkpoint.blobs, _MANIFEST: manifest})
            if self._note(model_id) is None:
                write_new(self._tmp / "note", msgspec.json.encode(note))
            write_new(self._tmp / "HEAD", f"{model_id}\n".encode())
            self._publish(model_id)
        logger.info("checkpoint %s saved: %s", model_id, note.why)
        return model_id

    def load(self, model_id: str) -> Checkpoint:
        """See CheckpointStore."""
        manifest, _ = self._manifest(model_id)
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
            removed = superfluous(self.head(), listed, keep, also)
            for model_id in removed:
                (self._objects / model_id).rename(self._tmp / model_id)
            sync_folder(self._objects)
            self._sweep_notes()
        if removed:
            logger.info("checkpoints removed: %s", ", ".join(removed))
        return removed

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
            raise HeadMoved(
                f"checkpoint not saved: HEAD of {self._path} is {head}, expected {expected_head}: "
                "another service saves here; stop one of the two"
            )

    def _is_kept(self, model_id: str) -> bool:
        """Whether the package is there and whole; one that is not will be replaced."""
        try:
            self.load(model_id)
        except CheckpointMissing:
            return False
        except CheckpointDamaged as error:
            logger.warning("saving over a damaged checkpoint: %s", error)
            return False
        return True

    def _stage(self, model_id: str, files: dict[str, bytes]) -> None:
        package = self._tmp / model_id
        package.mkdir(0o700)
        for name, data in files.items():
            write_new(package / name, data)
        sync_folder(package)

    def _publish(self, model_id: str) -> None:
        """Move into place what was staged: package, note, and at last HEAD, each durable before the next."""
        package = self._objects / model_id
        if (self._tmp / model_id).exists():
            if package.exists():
                package.rename(self._tmp / "damaged")
            (self._tmp / model_id).rename(package)
        sync_folder(self._objects)
        if (self._tmp / "note").exists():
            (self._tmp / "note").rename(self._note_path(model_id))
            sync_folder(self._notes)
        (self._tmp / "HEAD").rename(self._head)
        sync_folder(self._path)

    def _summary(self, name: str) -> Summary | None:
        """None where the package was removed while it was being listed."""
        if not MODEL_ID.fullmatch(name):
            return Summary(name, None, 0, None, "not a checkpoint: its name is no model id")
        try:
            manifest, size_bytes = self._manifest(name)
        except CheckpointMissing:
            return None
        except CheckpointError as error:
            return Summary(name, self._note(name), 0, None, str(error))
        size_bytes += sum(entry.size for entry in manifest.blobs.values())
        return Summary(name, self._note(name), size_bytes, manifest)

    def _manifest(self, model_id: str) -> tuple[Manifest, int]:
        """The verified manifest, and its length in bytes."""
        if not MODEL_ID.fullmatch(model_id):
            raise CheckpointMissing(f"{model_id!r} is no model id, expected sha256.<64 hex digits>")
        data = self._read(model_id, _MANIFEST, MANIFEST_LIMIT_BYTES)
        found = id_of(data)
        if found != model_id:
            raise CheckpointDamaged(
                f"{model_id}: {_MANIFEST} has sha256 {found[7:]}, the package's name says otherwise"
            )
        try:
            return decode(data), len(data)
        except CheckpointError as error:
            raise CheckpointError(f"{model_id}: {error}") from error

    def _read(self, model_id: str, name: str, at_most: int) -> bytes:
        package = self._objects / model_id
        what = f"{model_id}: {name if name == _MANIFEST else f'blob {name!r}'}"
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
            return msgspec.json.decode(read_bounded(self._note_path(model_id), _NOTE_LIMIT_BYTES), type=Note)
        except (OSError, ValueError):
            return None

    def _note_path(self, model_id: str) -> Path:
        return self._notes / f"{model_id}.json"
