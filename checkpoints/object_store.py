"""Checkpoints in an object store, by any fsspec file system: S3, GCS and others. Knows keys and bytes.

objects/sha256.<hex>/<blob>, then MODEL.json     the packages; one without MODEL.json is not there
notes/sha256.<hex>.json                          what varies by run
heads/<number>                                   HEAD is what the highest number holds: an id, and a token of its writer
ledgers/<name>/<number>.json                     append-only ledgers

Object stores have no rename and no lock, but putting an object is atomic, and can be made to fail where there is one
already. That is how HEAD and ledgers are fenced: whoever comes second with a number has lost.
"""

import logging
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from checkpoints.checkpoint import Checkpoint, Note, Summary
from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing
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
    bounded_manifest,
    checked_id,
    foreign,
    head_moved,
    is_whole,
    note_in,
    summary_of,
)

HEADS_KEPT = 20
ABANDONED_S = 3600.0
"""A package without MODEL.json is cleared away when it is older: its writer may still be at it before."""

logger = logging.getLogger(__name__)

Options = Mapping[str, str | int | float | bool]


class ObjectStore:
    """A Registry under `url`, such as s3://bucket/models; holds no state of its own but the connection.

    `options` go to the file system. Raises CheckpointError where its package is not installed, or where it overwrites
    objects that should have been created: then two writers could not be told apart.

    A writer that is fenced off while another one saves at the same moment may leave its package; `prune` removes it.
    """

    def __init__(self, url: str, options: Options | None = None) -> None:
        self._url = url.rstrip("/")
        self._fs, self._root = _opened(self._url, options or {})
        self._is_exclusive = False

    def save(self, checkpoint: Checkpoint, note: Note, expected_head: str | None) -> str:
        """See CheckpointStore. The package is whole before the head that names it is made."""
        number, head = self._head()
        if head != expected_head:
            raise head_moved(self._url, head, expected_head)
        self._stage(checkpoint, note)
        with self._translated("checkpoint not saved"):
            if not self._created(f"heads/{number + 1:012d}", f"{checkpoint.id} {uuid.uuid4().hex}\n".encode()):
                raise head_moved(self._url, self.head(), expected_head)
            if number >= 0 and not self._exists(f"heads/{number:012d}"):
                # So many others have saved meanwhile that a prune has freed this number.
                self._fs.rm_file(self._path(f"heads/{number + 1:012d}"))
                raise head_moved(self._url, self.head(), expected_head)
        if not self._exists(f"objects/{checkpoint.id}/{MODEL_JSON}"):
            self._stage(checkpoint, note)  # a prune that began before took it, as it was no head yet
        logger.info("checkpoint %s saved: %s", checkpoint.id, note.why)
        return checkpoint.id

    def keep(self, checkpoint: Checkpoint, note: Note) -> str:
        """See CheckpointStore."""
        self._stage(checkpoint, note)
        logger.info("checkpoint %s kept: %s", checkpoint.id, note.why)
        return checkpoint.id

    def load(self, model_id: str) -> Checkpoint:
        """See CheckpointStore."""
        data = self._read(f"objects/{checked_id(model_id)}/{MODEL_JSON}", MANIFEST_LIMIT_BYTES)
        if data is None:
            raise CheckpointMissing(f"{model_id} is not kept in {self._url}")
        manifest = verified(model_id, data)
        blobs = {}
        for name, entry in manifest.blobs.items():
            blob = self._read(f"objects/{model_id}/{name}", entry.size)
            if blob is None:
                raise CheckpointDamaged(f"{model_id}: blob {name!r} is missing")
            blobs[name] = blob
        return Checkpoint(manifest, blobs)

    def list(self) -> Sequence[Summary]:
        """See CheckpointStore."""
        names = self._names("objects")
        manifests = self._read_all(f"objects/{name}/{MODEL_JSON}" for name in names)
        notes = self._read_all(f"notes/{name}.json" for name in names)
        found = zip(names, manifests, notes, strict=True)
        return newest_first(
            summary_of(name, data, note_in(note)) if MODEL_ID.fullmatch(name) else foreign(name)
            for name, data, note in found
            if data is not None
        )

    def head(self) -> str | None:
        """See CheckpointStore."""
        return self._head()[1]

    def prune(self, keep: int, also: Collection[str] = ()) -> Sequence[str]:
        """See CheckpointStore. A package is gone as soon as its MODEL.json is; the rest of it follows."""
        head = self.head()
        if head is None:
            return []
        listed = [summary for summary in self.list() if MODEL_ID.fullmatch(summary.id)]
        removed = superfluous(head, listed, keep, also, named(self))
        with self._translated("checkpoints not pruned"):
            for model_id in removed:
                self._fs.rm_file(self._path(f"objects/{model_id}/{MODEL_JSON}"))
            self._sweep({summary.id for summary in listed} - set(removed))
            for number in self._numbers("heads")[:-HEADS_KEPT]:
                self._fs.rm_file(self._path(f"heads/{number:012d}"))
        if removed:
            logger.info("checkpoints removed: %s", ", ".join(removed))
        return removed

    def ledgers(self) -> Sequence[str]:
        """See Ledgers."""
        return sorted(f"{kind}/{name}" for kind in self._names("ledgers") for name in self._names(f"ledgers/{kind}"))

    def entries(self, ledger: str, first: int = 0) -> Sequence[bytes]:
        """See Ledgers."""
        checked_ledger(ledger)
        if first > 0:
            found = []
            while (entry := self._read(f"ledgers/{ledger}/{first:08d}.json", ENTRY_LIMIT_BYTES)) is not None:
                found.append(entry)
                first += 1
            return found
        numbers = checked_numbers(f"{ledger} in {self._url}", self._numbers(f"ledgers/{ledger}"))
        entries = self._read_all(f"ledgers/{ledger}/{number:08d}.json" for number in numbers[first:])
        return [entry for entry in entries if entry is not None]

    def enter(self, ledger: str, number: int, entry: bytes) -> None:
        """See Ledgers."""
        checked_entry(ledger, number, entry)
        if number and not self._exists(f"ledgers/{ledger}/{number - 1:08d}.json"):
            raise not_next(ledger, number)
        with self._translated(f"ledger {ledger}: not entered"):
            if not self._created(f"ledgers/{ledger}/{number:08d}.json", entry):
                raise entry_taken(ledger, number)

    def _head(self) -> tuple[int, str | None]:
        """The number of the last head, -1 for none, and the id that it holds."""
        numbers = self._numbers("heads")
        if not numbers:
            return -1, None
        data = self._read(f"heads/{numbers[-1]:012d}", 200) or b""
        found = data.decode("ascii", "replace")
        model_id = found.split(" ")[0].rstrip("\n")
        if not found.endswith("\n") or not MODEL_ID.fullmatch(model_id):
            place = f"{self._url}/heads/{numbers[-1]:012d}"
            raise CheckpointDamaged(f"HEAD: {place} holds {found!r}; write the id of a checkpoint into it")
        return numbers[-1], model_id

    def _stage(self, checkpoint: Checkpoint, note: Note) -> None:
        """Put the package, where it is not there whole, and its note, where there is none."""
        model_json, model_id = bounded_manifest(checkpoint), checkpoint.id
        with self._translated("checkpoint not saved"):
            if not is_whole(self, model_id):
                for name, data in checkpoint.blobs.items():
                    self._put(f"objects/{model_id}/{name}", data)
                self._put(f"objects/{model_id}/{MODEL_JSON}", model_json)
            self._created(f"notes/{model_id}.json", msgspec.json.encode(note))

    def _sweep(self, kept: Collection[str]) -> None:
        """Remove what belongs to no package: of those that were removed, and of writers that died."""
        now = time.time()
        packages: dict[str, dict[str, Any]] = {}
        for path, info in self._fs.find(self._path("objects"), detail=True).items():
            packages.setdefault(str(path).rpartition("/")[0].rpartition("/")[2], {})[path] = info
        for model_id, files in packages.items():
            if model_id in kept or self._exists(f"objects/{model_id}/{MODEL_JSON}"):
                continue
            was_whole = self._exists(f"notes/{model_id}.json")
            for path, info in files.items():
                if was_whole or _age_s(info, now) > ABANDONED_S:
                    self._fs.rm_file(path)
        for name in self._names("notes"):
            model_id = name.removesuffix(".json")
            if model_id not in kept and not self._exists(f"objects/{model_id}/{MODEL_JSON}"):
                self._fs.rm_file(self._path(f"notes/{name}"))

    def _put(self, key: str, data: bytes) -> None:
        self._check_exclusive()
        self._fs.pipe_file(self._path(key), data)

    def _created(self, key: str, data: bytes) -> bool:
        """Put an object; False where there is another one of that key already.

        Where the answer was lost and the client tried again, it meets its own object: the same bytes are a success.
        """
        self._check_exclusive()
        try:
            self._fs.pipe_file(self._path(key), data, mode="create")
        except OSError:  # FileExistsError, or what a file system makes of a refused condition
            found = self._read(key, len(data))
            if found is None:
                raise
            return found == data
        return True

    def _check_exclusive(self) -> None:
        """Before the first write: a second object of the same key must be refused."""
        if self._is_exclusive:
            return
        path = self._path(f"probe-{uuid.uuid4().hex}")
        self._fs.pipe_file(path, b"1", mode="create")
        try:
            self._fs.pipe_file(path, b"2", mode="create")
        except OSError:
            self._is_exclusive = self._fs.cat_file(path) == b"1"
        finally:
            self._fs.rm_file(path)
        if not self._is_exclusive:
            raise CheckpointError(
                f"{self._url}: this store overwrites objects that should have been created (no conditional writes), so "
                "two services could overwrite each other; use another one, or a directory"
            )

    def _read(self, key: str, at_most: int) -> bytes | None:
        """The bytes of an object, at most one more than `at_most`; None where there is none."""
        with self._translated(f"{key} cannot be read"):
            try:
                if not at_most:
                    return bytes(self._fs.cat_file(self._path(key)))
                return bytes(self._fs.cat_file(self._path(key), start=0, end=at_most + 1))
            except FileNotFoundError:
                return None
            except OSError:
                if self._fs.size(self._path(key)) == 0:
                    return b""  # of which no range can be asked
                raise

    def _read_all(self, keys: Iterator[str]) -> Sequence[bytes | None]:
        """Of small objects at once; None where there is none."""
        paths = [self._path(key) for key in keys]
        if not paths:
            return []
        with self._translated("checkpoints not read"):
            found: dict[str, Any] = self._fs.cat(paths, on_error="return")
            for path in paths:
                error = found.get(path)
                if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                    raise error
            return [data if isinstance(data := found.get(path), bytes) else None for path in paths]

    def _names(self, folder: str) -> Sequence[str]:
        with self._translated(f"{folder} not listed"):
            try:
                paths = self._fs.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
        names = (str(path).rstrip("/").rpartition("/")[2] for path in paths)
        return sorted(name for name in names if name and name != folder.rpartition("/")[2])

    def _numbers(self, folder: str) -> Sequence[int]:
        stems = [name.removesuffix(".json") for name in self._names(folder)]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _exists(self, key: str) -> bool:
        with self._translated(f"{key} not looked for"):
            return bool(self._fs.exists(self._path(key)))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _translated(self, failure: str) -> Iterator[None]:
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:  # every file system raises errors of its own
            raise CheckpointError(f"{failure}: {self._url}: {type(error).__name__}: {error}") from error


def _opened(url: str, options: Options) -> tuple[Any, str]:
    """The file system of a URL, and the path within it."""
    try:
        import fsspec
    except ImportError as error:
        raise CheckpointError(f"{url}: object stores need fsspec: run `pip install 'weir[objects]'`") from error
    try:
        fs, root = fsspec.url_to_fs(url, **{"use_listings_cache": False, **options})
    except (ImportError, ValueError, TypeError) as error:
        raise CheckpointError(f"checkpoints.url {url!r} cannot be opened: {error}") from error
    return fs, str(root).rstrip("/")


def _age_s(info: Mapping[str, Any], now: float) -> float:
    """Seconds since an object was put; 0 where the file system does not say."""
    put = next((info[name] for name in ("LastModified", "mtime", "updated", "created") if name in info), None)
    if put is None:
        return 0.0
    return now - float(put.timestamp() if hasattr(put, "timestamp") else put)
