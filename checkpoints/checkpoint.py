"""The CheckpointStore seam: where checkpoints are kept. Knows manifests and blobs, never what a blob means."""

import functools
import hashlib
import os
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from checkpoints.errors import CheckpointDamaged
from checkpoints.manifest import Blob, Manifest, canonical, detached, id_of


class Checkpoint(msgspec.Struct, frozen=True, dict=True):
    """A model at a position as one value: the manifest and the blobs that it names.

    Every instance holds together: building one raises CheckpointDamaged, naming package and blob, where a blob is
    missing, is not in the manifest, or has another length or sha256 than the manifest says.
    """

    manifest: Manifest
    blobs: dict[str, bytes]

    def __post_init__(self) -> None:
        for name in sorted(self.blobs.keys() ^ self.manifest.blobs.keys()):
            what = "is not in the manifest" if name in self.blobs else "is missing"
            raise CheckpointDamaged(f"{self.id}: blob {name!r} {what}")
        for name, entry in self.manifest.blobs.items():
            for what, found, expected in _differences(self.blobs[name], entry):
                raise CheckpointDamaged(f"{self.id}: blob {name!r} has {what} {found}, the manifest says {expected}")

    @classmethod
    def of(cls, manifest: Manifest, blobs: Mapping[str, bytes]) -> "Checkpoint":
        """Fill in the manifest's blob entries. The result shares nothing that the caller may change afterwards.

        Raises CheckpointError for a manifest without a canonical form, or a blob name that is no plain lower-case
        file name.
        """
        entries = {name: Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in blobs.items()}
        return cls(
            detached(msgspec.structs.replace(manifest, blobs=entries)),
            {name: bytes(data) for name, data in blobs.items()},
        )

    @functools.cached_property
    def model_json(self) -> bytes:
        """The manifest in canonical form: what the id is the hash of."""
        return canonical(self.manifest)

    @functools.cached_property
    def id(self) -> str:
        """The model id: equal inputs give an equal id."""
        return id_of(self.model_json)

    @property
    def begun(self) -> str | None:
        """The checkpoint of the last takeover or rollback up to this one, itself included; None before the first."""
        return self.manifest.begun if self.manifest.since_parent.records else self.id


class Note(msgspec.Struct, frozen=True):
    """What varies by run, kept beside the package and not hashed into its id."""

    created_at: float
    """Unix seconds."""
    host: str
    pid: int
    why: str
    """As a person reads it: `every 10000 events`, `SIGTERM`, `on demand`, `rollback`."""
    weir: str
    """Version that saved."""
    is_pinned: bool = False
    """Whether retention spares it: it was made by hand, as by a replay or an import, and is in no service's lineage."""

    @classmethod
    def now(cls, why: str, weir: str, is_pinned: bool = False) -> "Note":
        """A note by this process, now."""
        return cls(time.time(), socket.gethostname(), os.getpid(), why, weir, is_pinned)


class Summary(msgspec.Struct, frozen=True):
    """A line of a listing, told without reading any blob."""

    id: str
    note: Note | None
    """None where the note was lost; the package is whole without it."""
    size_bytes: int
    manifest: Manifest | None
    """None where it cannot be read; `damage` says why."""
    damage: str | None = None


class CheckpointStore(Protocol):
    """Keeps checkpoints, and HEAD: the id of the tip of the lineage that is being learnt.

    Blocking, and safe to call from any thread or process. A crash at any point, power loss included, leaves the old
    state or the new one, both readable; what a killed writer left lying is cleared away by the next writer.
    """

    def save(self, checkpoint: Checkpoint, note: Note, expected_head: str | None) -> str:
        """Keep `checkpoint` durably, move HEAD to it, and return its id.

        `expected_head` fences off a second service: HeadMoved, and nothing saved, unless HEAD is still that (None: no
        HEAD yet); of several writers in the same moment, losers may leave a package that `prune` removes. Saving what
        is there already moves HEAD, keeps the first note, and repairs a damaged package. Any other failure, a full
        medium included, is a CheckpointError with HEAD as it was and nothing half saved, but for NotFlushed: HEAD has
        moved, and only the very last flush failed.
        """
        ...

    def keep(self, checkpoint: Checkpoint, note: Note) -> str:
        """Keep `checkpoint` durably beside the lineage: HEAD stays. Otherwise as `save`."""
        ...

    def load(self, model_id: str) -> Checkpoint:
        """The whole package, every byte verified.

        Raises CheckpointDamaged naming package, blob and difference, or CheckpointMissing; never reads more than the
        manifest says.
        """
        ...

    def list(self) -> Sequence[Summary]:
        """Newest first, a child always before its parent. Reads no blob; a damaged or foreign entry is listed so."""
        ...

    def head(self) -> str | None:
        """The id that HEAD holds, None before the first save. Raises CheckpointDamaged where HEAD is no id."""
        ...

    def prune(self, keep: int, also: Collection[str] = ()) -> Sequence[str]:
        """Remove all but the newest `keep` of HEAD's lineage and `also`; returns the ids removed.

        Spares pinned ones, those that the last entry of any ledger names, and the parents of both. Removes nothing
        while the lineage cannot be followed that far because a manifest in it is damaged.
        """
        ...


class Ledgers(Protocol):
    """Append-only ledgers beside the checkpoints, each a numbered list of small entries: what tags are made of.

    Blocking, safe to call from any thread or process, and safe against crashes as CheckpointStore is.
    """

    def ledgers(self) -> Sequence[str]:
        """The names of all ledgers, sorted."""
        ...

    def entries(self, ledger: str, first: int = 0) -> Sequence[bytes]:
        """The entries from number `first` on, oldest first; none where there is no such ledger.

        A negative `first` counts from the end, as in a slice: -1 is the last entry. Cheap for the next number and for
        -1, however long the ledger is. Raises CheckpointDamaged where one is seen to be missing in between.
        """
        ...

    def enter(self, ledger: str, number: int, entry: bytes) -> None:
        """Make the entry with this number, durably: the next one, counted from 0.

        Raises EntryTaken, with nothing changed, where another writer was faster; CheckpointError for a name that is
        no plain lower-case one, an entry over 1 MiB, and what `save` raises it for.
        """
        ...


class Registry(CheckpointStore, Ledgers, Protocol):
    """What every store is: checkpoints, and the ledgers that name them."""


def _differences(data: bytes, entry: Blob) -> list[tuple[str, object, object]]:
    if len(data) != entry.size:
        return [("length", len(data), entry.size)]
    found = hashlib.sha256(data).hexdigest()
    return [] if found == entry.sha256 else [("sha256", found, entry.sha256)]
