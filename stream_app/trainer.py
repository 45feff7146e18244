"""The one path an event travels: records, examples, learning, metrics, position; and the checkpoint of it all.

Knows the seams Format and Learner and the values of sources and checkpoints. Knows no clock, no network, no file:
what it does is a function of the records it is given, so a restart that gives the same records gives the same bytes.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import msgspec
import numpy as np

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Backfill, Hole, LearnerSpec, Manifest, Model
from formats.example import Dead, Decoded, Example, ids_of, labels_of, weights_of
from formats.format import Format
from learners.learner import Column, Learner, LearnerError, Learnt, Rejected
from stream_app.dedupe import DedupeWindow
from stream_app.names import Names
from stream_app.progressive import Progressive
from stream_app.sources.source import Position, Records
from stream_app.stretch import OpenStretch

log = logging.getLogger(__name__)

SLICE = 128
"""Examples learnt at once, at most: between two slices of a large envelope the loop may serve a request."""


class TrainerError(Exception):
    """A checkpoint that does not fit this service. The message says what differs and what to do."""


class DeadLetterBox(Protocol):
    """Where events go that could not be learnt from."""

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        """Keep the event's bytes, its place and the reason."""
        ...


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

    def checkpoint(self) -> Checkpoint:
        """The snapshot as a checkpoint, its metrics told from the state of that moment."""
        self.progressive.restore(self.blobs["progressive"])
        metrics = dict(self.progressive.report())
        return Checkpoint.of(msgspec.structs.replace(self.manifest, metrics=metrics), self.blobs)


class Parts(msgspec.Struct, frozen=True):
    """What a trainer works with."""

    learner: Learner
    format: Format
    progressive: Progressive
    dedupe: DedupeWindow
    dead_letters: DeadLetterBox
    names: Names


class Trainer:
    """Learns records in the order given. The only writer of learner, metrics, dedupe window and position.

    Call `learn` to its end before anything else: between its steps the learner may be read, never saved.
    With `is_kept` False it only learns: no metrics, nothing to save. For runs whose model is thrown away at the end.
    """

    def __init__(self, parts: Parts, identity: Identity, is_kept: bool = True) -> None:
        self.parts = parts
        self._is_kept = is_kept
        self.position: Position = {}
        self.counts = Counts()
        self.is_whole = True
        self._ahead_of_position = 0
        self._identity = identity
        self._holes: list[Hole] = []
        self._ahead: list[Hole] = []
        self._order_lost_at: Position | None = None
        self._stretches = [OpenStretch(None)] if is_kept else []
        self.backfill: Backfill | None = None
        """The files learnt from, as the next manifests say it; whoever reads files says it."""
        self.observer: Callable[[Learnt], None] | None = None

    @property
    def parent(self) -> str | None:
        """The checkpoint that this model goes back to; None before the first one."""
        return self._stretches[0].parent

    @property
    def live_id(self) -> str:
        """What answers of the model being learnt are signed with: `live@<partition>:<next offset>,…`."""
        place = ",".join(f"{part}:{offset}" for part, offset in sorted(self.position.items())) or "0:0"
        return f"live@{place}+{self._ahead_of_position}" if self._ahead_of_position else f"live@{place}"

    def learn(self, records: Records, decoded: Decoded | None = None) -> Iterator[None]:
        """Learn a micro-batch, whole. Yields where the caller may serve a request in between.

        `decoded` is what the format makes of these records, where that is known already.
        Until it has ended, `is_whole` is False: what an error interrupts is neither learnt nor not learnt.
        """
        self.is_whole = False
        payloads, offsets = self._wanted(records)
        if decoded is None or payloads is not records.payloads:
            decoded = self.parts.format.decode(payloads)
        for dead in decoded.dead:
            self._bury(records.partition, offsets, payloads, dead)
        examples, repeats = self._unseen(decoded.examples)
        for first in range(0, len(examples), SLICE):
            if first:
                self._ahead_of_position = first
                yield
            rejected = self._learn_slice(examples[first : first + SLICE])
            if rejected:
                origins = decoded.payload_of_each(len(payloads))
                places = [(offsets[i], payloads[i]) for index, i in enumerate(origins) if index not in repeats]
                self._bury_rejected(records.partition, rejected, places[first:])
        self.parts.names.see(examples)
        for stretch in self._stretches:
            stretch.add(records, payloads, examples)
        self.position[records.partition] = records.offset + len(records.payloads)
        self.counts.records += len(records.payloads)
        self._ahead_of_position = 0
        self.is_whole = True

    def snapshot(self) -> "Snapshot":
        """Everything as one value, only between two calls of `learn`. Learning may go on while it is being saved.

        Tell the outcome by `settle` before the next snapshot. Raises TrainerError for a run that is not kept.
        """
        if not self._is_kept:
            raise TrainerError("snapshot: this run only learns; nothing of it was kept that a checkpoint needs")
        parts = self.parts
        blobs = {
            "learner": parts.learner.state(),
            "progressive": parts.progressive.state(),
            "dedupe": parts.dedupe.state(),
            "order": msgspec.msgpack.encode(self._stretches[0].order),
            "counts": msgspec.json.encode(self.counts),
            "names": parts.names.state(),
        }
        self._stretches.append(OpenStretch(None))
        return Snapshot(self._manifest(), blobs, parts.progressive.twin())

    def settle(self, saved: str | None) -> None:
        """The last snapshot is durable under this id, and the parent of what follows; or None: the parent stays."""
        if saved is None:
            del self._stretches[1]
        else:
            del self._stretches[0]
            self._stretches[0].parent = saved

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become the model of a checkpoint, position included. Raises TrainerError where it does not fit."""
        manifest = checkpoint.manifest
        self._check(checkpoint)
        self._restore_learner(checkpoint)
        self.parts.dedupe.restore(checkpoint.blobs["dedupe"])
        self.position = dict(manifest.position)
        self._holes = list(manifest.holes)
        self._ahead = list(manifest.except_)
        self._order_lost_at = manifest.order_lost_at
        self.backfill = manifest.backfill
        self._stretches = [OpenStretch(checkpoint.id)]
        self.is_whole = True

    def skipped_to_here(self, checkpoint: Checkpoint) -> Checkpoint:
        """The model of another checkpoint at the present position; what it has not learnt before that is a hole.

        Changes nothing: save it, then `restore` it. What it has learnt beyond the present position is not read again.
        Raises TrainerError for a checkpoint that does not fit.
        """
        why = f"rolled back to {checkpoint.id} with --skip"
        old, here = checkpoint.manifest.position, self.position
        position = {part: max(old.get(part, 0), here.get(part, 0)) for part in sorted(old.keys() | here.keys())}
        gaps = [(part, old.get(part, 0), offset) for part, offset in position.items()]
        holes = [Hole(partition=part, first=first, last=last, why=why) for part, first, last in gaps if first < last]
        _, ahead = _split([*checkpoint.manifest.except_, *self._ahead], position)
        blobs = {**checkpoint.blobs, "dedupe": self.parts.dedupe.state()}
        return self._derived(checkpoint, blobs, position, holes, ahead)

    def replayed_from(self, checkpoint: Checkpoint, exceptions: Sequence[Hole]) -> Checkpoint:
        """Another checkpoint, position included, that from there on passes over the records of `exceptions`.

        Changes nothing: save it, then `restore` it. Raises TrainerError for a checkpoint that does not fit, or that
        has learnt from one of the exceptions.
        """
        position = checkpoint.manifest.position
        for hole in exceptions:
            if hole.first < position.get(hole.partition, 0):
                raise TrainerError(
                    f"except: {checkpoint.id} has learnt from {hole.partition}:{hole.first} already, as its position "
                    f"is {hole.partition}:{position[hole.partition]}: roll back to an older one"
                )
        return self._derived(checkpoint, checkpoint.blobs, position, [], [*checkpoint.manifest.except_, *exceptions])

    def finished(self, checkpoint: Checkpoint, backfill: Backfill) -> Checkpoint:
        """A checkpoint whose position counts in files, with everything learnt, at the beginning of the live stream.

        Changes nothing: save it, then `restore` it. Raises TrainerError for a checkpoint that does not fit.
        """
        derived = self._derived(checkpoint, checkpoint.blobs, backfill.live_from, [], [])
        manifest = msgspec.structs.replace(derived.manifest, backfill=backfill)
        return Checkpoint.of(manifest, derived.blobs)

    def order_is_lost(self) -> None:
        """From here on events are learnt once each, but in an order of our own: manifests say so from now on."""
        if self._order_lost_at is None:
            self._order_lost_at = dict(self.position)

    def _wanted(self, records: Records) -> tuple[Sequence[bytes], Sequence[int]]:
        """Payloads and their offsets, without those that must not be learnt."""
        offsets: Sequence[int] = range(records.offset, records.offset + len(records.payloads))
        ranges = [(hole.first, hole.last) for hole in self._ahead if hole.partition == records.partition]
        if not ranges:
            return records.payloads, offsets
        kept = [offset for offset in offsets if not any(first <= offset < last for first, last in ranges)]
        self.counts.excepted += len(offsets) - len(kept)
        return [records.payloads[offset - records.offset] for offset in kept], kept

    def _bury(self, partition: int, offsets: Sequence[int], payloads: Sequence[bytes], dead: Dead) -> None:
        self.counts.dead_letters += 1
        self.parts.dead_letters.add(partition, offsets[dead.index], dead.reason, payloads[dead.index])

    def _bury_rejected(self, partition: int, rejected: Sequence[Rejected], places: Sequence[tuple[int, bytes]]) -> None:
        for one in rejected:
            offset, payload = places[one.index]
            self.counts.dead_letters += 1
            self.parts.dead_letters.add(partition, offset, one.reason, payload)

    def _unseen(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Collection[int]]:
        """Without repeats, and which were those. What is not labelled yet is none, nor is the event that labels it."""
        is_new = self.parts.dedupe.is_new
        repeats = {
            index
            for index, (id_, label) in enumerate(zip(ids_of(examples), labels_of(examples), strict=False))
            if id_ is not None and label is not None and not is_new(id_)
        }
        if not repeats:
            return examples, ()
        self.counts.duplicates += len(repeats)
        return [example for index, example in enumerate(examples) if index not in repeats], repeats

    def _learn_slice(self, examples: Sequence[Example]) -> Sequence[Rejected]:
        learnt = self.parts.learner.learn(examples)
        if self.observer is not None:
            self.observer(learnt)
        if self._is_kept:
            self._score(examples, learnt)
        return learnt.rejected

    def _score(self, examples: Sequence[Example], learnt: Learnt) -> None:
        predictions, losses = learnt.predictions, learnt.losses
        if learnt.rejected:
            is_learnt = np.ones(len(examples), np.bool_)
            is_learnt[[rejected.index for rejected in learnt.rejected]] = False
            predictions, losses = predictions[is_learnt], losses[is_learnt]
            examples = [example for example, is_one in zip(examples, is_learnt, strict=True) if is_one]
        if not examples:
            return
        learner = self.parts.learner
        is_binary = self._identity.model.task == "binary"
        probabilities = learner.probabilities(predictions) if is_binary else None
        is_number = learner.traits.label_kind in ("number", "class")
        weights = np.array(weights_of(examples), np.float64)
        self.parts.progressive.update(_labels(examples, is_number), predictions, probabilities, weights, losses)

    def _manifest(self) -> Manifest:
        identity, traits, stretch = self._identity, self.parts.learner.traits, self._stretches[0]
        passed, ahead = _split(self._ahead, self.position)
        self._holes, self._ahead = _joined([*self._holes, *passed]), ahead
        return Manifest(
            model=identity.model,
            learner=LearnerSpec(kind=traits.kind, arguments=traits.arguments),
            schema=identity.schema,
            versions=identity.versions,
            platform=identity.platform,
            git_commit=identity.git_commit,
            parent=stretch.parent,
            position=dict(self.position),
            order_lost_at=self._order_lost_at,
            since_parent=stretch.closed(),
            holes=list(self._holes),
            except_=list(self._ahead),
            exact_resume=traits.exact_resume,
            backfill=self.backfill,
        )

    def _derived(
        self, old: Checkpoint, blobs: dict[str, bytes], position: Position, holes: list[Hole], ahead: list[Hole]
    ) -> Checkpoint:
        """A child of `old` without a stretch of its own."""
        self._check(old)
        identity = self._identity
        manifest = msgspec.structs.replace(
            old.manifest,
            model=identity.model,
            schema=identity.schema,
            versions=identity.versions,
            platform=identity.platform,
            git_commit=identity.git_commit,
            parent=old.id,
            position=position,
            since_parent=OpenStretch(old.id).closed(),
            holes=[*old.manifest.holes, *holes],
            except_=sorted(dict.fromkeys(ahead), key=lambda hole: (hole.partition, hole.first)),
        )
        return Checkpoint.of(manifest, {**blobs, "order": msgspec.msgpack.encode([])})

    def _check(self, checkpoint: Checkpoint) -> None:
        spec, traits = checkpoint.manifest.learner, self.parts.learner.traits
        if (spec.kind, spec.arguments) != (traits.kind, traits.arguments):
            raise TrainerError(
                f"{checkpoint.id} was learnt by {spec.kind} with {spec.arguments!r}, but learner.kind and learner.args "
                f"are {traits.kind} and {traits.arguments!r}: set them back, or name an empty checkpoints.url"
            )
        if checkpoint.manifest.model.task != self._identity.model.task:
            raise TrainerError(
                f"{checkpoint.id} was learnt for task {checkpoint.manifest.model.task!r}: set model.task"
            )

    def _restore_learner(self, checkpoint: Checkpoint) -> None:
        try:
            self.parts.learner.restore(checkpoint.blobs["learner"])
            self.parts.progressive.restore(checkpoint.blobs["progressive"])
            self.parts.names.restore(checkpoint.blobs.get("names", b""))
        except (LearnerError, ValueError) as error:
            raise TrainerError(f"{checkpoint.id}: {error}") from error
        self.counts = msgspec.json.decode(checkpoint.blobs["counts"], type=Counts)


def _labels(examples: Sequence[Example], is_number: bool) -> Column:
    """NaN where there is no label; 0 for labels that are no number."""
    if is_number:
        return np.array(labels_of(examples), np.float64)
    return np.array([math.nan if label is None else 0.0 for label in labels_of(examples)], np.float64)


def _split(holes: Sequence[Hole], position: Position) -> tuple[list[Hole], list[Hole]]:
    """The parts of `holes` that lie before `position`, and those at or after it."""
    passed, ahead = [], []
    for hole in holes:
        here = position.get(hole.partition, 0)
        if hole.first < here:
            passed.append(msgspec.structs.replace(hole, last=min(hole.last, here)))
        if hole.last > here:
            ahead.append(msgspec.structs.replace(hole, first=max(hole.first, here)))
    return passed, ahead


def _joined(holes: Sequence[Hole]) -> list[Hole]:
    """A hole that was passed in several stretches is one, wherever checkpoints fell."""
    joined: list[Hole] = []
    for hole in holes:
        last = joined[-1] if joined else None
        if last is not None and (last.partition, last.last, last.why) == (hole.partition, hole.first, hole.why):
            joined[-1] = msgspec.structs.replace(last, last=hole.last)
        else:
            joined.append(hole)
    return joined
