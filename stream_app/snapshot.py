"""A trainer at one moment, and the checkpoint that is made of it in any thread. Knows no learner and no stream."""

import msgspec

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Manifest, Model
from stream_app.progressive import Progressive
from stream_app.progressive.scores import part


class Identity(msgspec.Struct, frozen=True):
    """The part of every manifest that does not change while a service runs."""

    model: Model
    schema: dict[str, object]
    versions: dict[str, str]
    platform: str
    git_commit: str | None


class Counts(msgspec.Struct):
    """What happened to the records so far; part of every checkpoint."""

    records: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    excepted: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """A trainer at one moment. Taking it is all that learning waits for; the rest is worked out in any thread."""

    manifest: Manifest
    blobs: dict[str, bytes]
    progressive: Progressive
    value: float | None = None
    """What the decisions were worth, where that is counted."""

    def checkpoint(self) -> Checkpoint:
        """The snapshot as a checkpoint, its metrics told from the state of that moment."""
        self.progressive.restore(self.blobs["progressive"])
        metrics = dict(self.progressive.report())
        if self.value is not None:
            metrics["total"] = {**part(metrics, "total"), "value": self.value}
        return Checkpoint.of(msgspec.structs.replace(self.manifest, metrics=metrics), self.blobs)
