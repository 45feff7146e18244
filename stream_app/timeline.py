"""The timeline: which checkpoints a model went through, and in which order records were learnt between them."""

from pathlib import Path

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore, Summary
from checkpoints.errors import CheckpointError
from checkpoints.lineage import lineage
from checkpoints.manifest import Manifest
from stream_app.history import is_live
from stream_app.journal import order_in
from stream_app.moment import Moment
from stream_app.refusal import ServiceError
from stream_app.sources.source import Order, Position, Source


class Timeline:
    """The lineage of HEAD in a store, as far as it is kept, and the order journal of the service, where there is one.

    A picture of the moment when it is made. Raises CheckpointError.
    """

    def __init__(self, store: CheckpointStore, journal: Path | None) -> None:
        self._store = store
        self._journal = journal
        self._summaries = {summary.id: summary for summary in store.list()}
        self.head = store.head()
        self._line = lineage(self.head, self._summaries.values())

    @property
    def tip(self) -> Manifest | None:
        """Of HEAD; None before the first checkpoint."""
        return self.manifest(self.head) if self.head is not None else None

    def manifest(self, model_id: str) -> Manifest | None:
        """Of a checkpoint that is kept; None where it is not, or cannot be read."""
        summary = self._summaries.get(model_id)
        return summary.manifest if summary is not None else None

    def at_or_before(self, position: Position) -> str | None:
        """The newest checkpoint of the lineage that had learnt nothing beyond `position`; None where none is kept.

        Raises ServiceError where the lineage passed over that position by a rollback: the live model never stood there.
        """
        for summary in self._line:
            manifest = summary.manifest
            if manifest is None or not is_live(manifest):
                break
            if all(offset <= position.get(part, 0) for part, offset in manifest.position.items()):
                return summary.id
            self._check_not_skipped(manifest, position)
        return None

    def taken_by(self, time_s: float) -> str | None:
        """The newest checkpoint of the lineage that was taken by then; None where none is kept."""
        for summary in self._line:
            if summary.manifest is None or not is_live(summary.manifest):
                break
            if summary.note is not None and summary.note.created_at <= time_s:
                return summary.id
        return None

    def check_from_nothing(self, source: Source) -> None:
        """Raises ServiceError where learning the source from its beginning does not give this lineage."""
        oldest, newest = self._line[-1].manifest if self._line else None, self.tip
        if any(source.start().values()):
            raise ServiceError("no checkpoint so old is kept, and the source no longer has its beginning")
        if oldest is None or newest is None or oldest.parent is None:
            return
        if newest.holes or newest.begun is not None or newest.backfill is not None or not source.keeps_order:
            raise ServiceError(
                "no checkpoint so old is kept, and what was learnt before the oldest one cannot be told from the "
                "source alone: keep more of them (checkpoints.keep), or deploy those that must stay"
            )

    def order_after(self, base: str | None, source: Source) -> Order:
        """In which order records were learnt after `base`, as far as it is known; empty where the source knows itself.

        Along the lineage of HEAD and the journal; for a checkpoint that is not of it, along its newest descendants.
        """
        if source.keeps_order or len(source.end()) == 1:
            return []
        order: Order = []
        tip = base
        for model_id in self._descent(base):
            order += order_of(self._store.load(model_id))
            tip = model_id
        if tip == self.head and self._journal is not None:
            manifest = self.manifest(tip) if tip is not None else None
            order += order_in(self._journal, manifest.position if manifest is not None else {})
        return order

    def _descent(self, base: str | None) -> list[str]:
        """The ids after `base`, oldest first."""
        line = [summary.id for summary in self._line]
        if base in line:
            return line[: line.index(base)][::-1]
        if base is None:
            return line[::-1] if not line or self._parent(line[-1]) is None else []
        descent: list[str] = []
        while children := [one for one in self._summaries.values() if self._parent(one.id) == (descent or [base])[-1]]:
            descent.append(max(children, key=_taken_at).id)
        return descent

    def _parent(self, model_id: str) -> str | None:
        manifest = self.manifest(model_id)
        return manifest.parent if manifest is not None else None

    def _check_not_skipped(self, manifest: Manifest, position: Position) -> None:
        parent = self.manifest(manifest.parent) if manifest.parent is not None else None
        if manifest.since_parent.records or parent is None or manifest.position == parent.position:
            return
        is_after = all(offset <= position.get(part, 0) for part, offset in parent.position.items())
        if is_after and position != parent.position:
            raise ServiceError(
                f"{Moment(position).name}: the lineage passed over it, as it went back to {manifest.parent} with "
                "--skip then: name one of the checkpoints that were live before"
            )


def order_of(checkpoint: Checkpoint) -> Order:
    """The order in which a checkpoint's own stretch was learnt. Raises CheckpointError."""
    try:
        return msgspec.msgpack.decode(checkpoint.blobs["order"], type=Order)
    except (KeyError, msgspec.MsgspecError) as error:
        raise CheckpointError(f"{checkpoint.id}: its order cannot be read: {error}") from error


def _taken_at(summary: Summary) -> float:
    return summary.note.created_at if summary.note is not None else 0.0
