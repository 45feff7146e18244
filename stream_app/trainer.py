"""The one path an event travels: records, examples, learning, metrics, position; and the checkpoint of it all.

Knows the seams Format and Learner and the values of sources and checkpoints. Knows no clock, no network, no file:
what it does is a function of the records it is given, so a restart that gives the same records gives the same bytes.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec
import numpy as np

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Backfill, Hole, LearnerSpec, Manifest
from formats.example import Decoded, Example, ids_of, labels_of, weights_of
from formats.format import Format
from learners.learner import Column, Learner, LearnerError, Learnt, Rejected
from stream_app.dead_letters import DeadLetterBox
from stream_app.dedupe import DedupeWindow
from stream_app.holes import Excepted, joined, split
from stream_app.moment import live_name
from stream_app.names import Names
from stream_app.progressive import Progressive
from stream_app.sample import Sample
from stream_app.snapshot import Counts, Identity, Snapshot
from stream_app.sources.source import Position, Records
from stream_app.stretch import OpenStretch
from stream_app.value import Value

log = logging.getLogger(__name__)

SLICE = 128
"""Examples learnt at once, at most: between two slices of a large envelope the loop may serve a request."""


class TrainerError(Exception):
    """A checkpoint that does not fit this service. The message says what differs and what to do."""


class Parts(msgspec.Struct, frozen=True):
    """What a trainer works with."""

    learner: Learner
    format: Format
    progressive: Progressive
    dedupe: DedupeWindow
    dead_letters: DeadLetterBox
    names: Names
    sample: Sample


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
        self.ahead_of_position = 0
        self.identity = identity
        self._holes: list[Hole] = []
        self.ahead = Excepted()
        self._order_lost_at: Position | None = None
        self._stretches = [OpenStretch(None)] if is_kept else []
        self.begun: str | None = None
        """The checkpoint of a takeover or rollback since which one service has learnt; None before the first."""
        self.backfill: Backfill | None = None
        """The files learnt from, as the next manifests say it; whoever reads files says it."""
        self.value: Value | None = None
        """What decisions were worth; None where that is not counted. Whoever builds the trainer gives it."""
        self.observer: Callable[[Learnt], None] | None = None
        self.scorer: Callable[[Sequence[Example], Learnt], None] | None = None
        """Hears of every example learnt, and of what was predicted before; rejected ones are nan."""

    @property
    def parent(self) -> str | None:
        """The checkpoint that this model goes back to; None before the first one."""
        return self._stretches[0].parent

    @property
    def live_id(self) -> str:
        """What answers of the model being learnt are signed with; see `live_name`."""
        return live_name(self.position, self.ahead_of_position)

    def learn(self, records: Records, decoded: Decoded | None = None) -> Iterator[None]:
        """Learn a micro-batch, whole. Yields after every SLICE examples: the caller may serve a request in between.

        `decoded` is what the format makes of these records, where that is known already.
        Until it has ended, `is_whole` is False: what an error interrupts is neither learnt nor not learnt.
        """
        self.is_whole = False
        payloads, offsets = self._wanted(records)
        if decoded is None or payloads is not records.payloads:
            decoded = self.parts.format.decode(payloads)
        for dead in decoded.dead:
            self._bury(records.partition, offsets[dead.index], dead.reason, payloads[dead.index])
        examples, repeats = self._unseen(decoded.examples)
        for first in range(0, len(examples), SLICE):
            if first:
                self.ahead_of_position = first
                yield
            rejected = self._learn_slice(examples[first : first + SLICE])
            if rejected:
                origins = decoded.payload_of_each(len(payloads))
                learnt_from = [origin for index, origin in enumerate(origins) if index not in repeats]
                for one in rejected:
                    origin = learnt_from[first + one.index]
                    self._bury(records.partition, offsets[origin], one.reason, payloads[origin])
        self.parts.names.see(examples)
        self.parts.sample.see(examples)
        for stretch in self._stretches:
            stretch.add(records, payloads, examples)
        self.position[records.partition] = records.offset + len(records.payloads)
        self.counts.records += len(records.payloads)
        self.ahead_of_position = 0
        self.is_whole = True

    def learn_whole(self, records: Records, decoded: Decoded | None = None) -> None:
        """`learn` to its end, for whoever serves no requests in between."""
        for _ in self.learn(records, decoded):
            pass

    def snapshot(self) -> Snapshot:
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
            "counts": msgspec.json.encode(self.counts),
            "names": parts.names.state(),
            "sample": parts.sample.state(),
            **self._stretches[0].blobs(),
        }
        if self.value is not None:
            blobs["value"] = self.value.state()
        self._stretches.append(OpenStretch(None))
        total = self.value.total if self.value is not None else None
        return Snapshot(self._manifest(), blobs, parts.progressive.twin(), total)

    def settle(self, saved: str | None) -> None:
        """The last snapshot is durable under this id, and the parent of what follows; or None: the parent stays."""
        if saved is None:
            del self._stretches[1]
            return
        if not self._stretches[0].closed().records:
            self.begun = saved
        del self._stretches[0]
        self._stretches[0].parent = saved

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become the model of a checkpoint, position included. Raises TrainerError where it does not fit."""
        manifest = checkpoint.manifest
        self.check(checkpoint)
        self._restore_parts(checkpoint)
        self.position = dict(manifest.position)
        self._holes = list(manifest.holes)
        self.ahead = Excepted(manifest.except_)
        self._order_lost_at = manifest.order_lost_at
        self.begun = checkpoint.begun
        self.backfill = manifest.backfill
        self._stretches = [OpenStretch(checkpoint.id)]
        self.is_whole = True

    def stand_at(self, position: Position) -> None:
        """Begin there, where nothing was learnt yet: what is no longer kept later was there, and is missed."""
        self.position = {**position, **self.position}

    def pass_over(self, holes: Sequence[Hole]) -> None:
        """Go on behind records that cannot be read any more: the next manifest says so."""
        self._holes += holes
        for hole in holes:
            self.position[hole.partition] = hole.last

    def _wanted(self, records: Records) -> tuple[Sequence[bytes], Sequence[int]]:
        """Payloads and their offsets, without those that must not be learnt."""
        offsets = range(records.offset, records.offset + len(records.payloads))
        kept = self.ahead.left(records.partition, offsets)
        if kept is offsets:
            return records.payloads, offsets
        self.counts.excepted += len(offsets) - len(kept)
        return [records.payloads[offset - records.offset] for offset in kept], kept

    def _bury(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        self.counts.dead_letters += 1
        self.parts.dead_letters.add(partition, offset, reason, payload)

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
        if self.scorer is not None:
            self.scorer(examples, learnt)
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
        is_binary = self.identity.model.task == "binary"
        probabilities = learner.probabilities(predictions) if is_binary else None
        is_number = learner.traits.label_kind in ("number", "class")
        weights = np.array(weights_of(examples), np.float64)
        labels = _labels(examples, is_number)
        self.parts.progressive.update(labels, predictions, probabilities, weights, losses)
        if self.value is not None and probabilities is not None:
            self.value.update(labels, probabilities)

    def _manifest(self) -> Manifest:
        identity, traits, stretch = self.identity, self.parts.learner.traits, self._stretches[0]
        passed, ahead = split(self.ahead.holes, self.position)
        self._holes, self.ahead = joined([*self._holes, *passed]), Excepted(ahead)
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
            except_=list(self.ahead.holes),
            exact_resume=traits.exact_resume,
            backfill=self.backfill,
            begun=self.begun,
        )

    def check(self, checkpoint: Checkpoint) -> None:
        """Raises TrainerError for one of another learner, other arguments or another task."""
        spec, traits = checkpoint.manifest.learner, self.parts.learner.traits
        if (spec.kind, spec.arguments) != (traits.kind, traits.arguments):
            raise TrainerError(
                f"{checkpoint.id} was learnt by {spec.kind} with {spec.arguments!r}, but learner.kind and learner.args "
                f"are {traits.kind} and {traits.arguments!r}: set them back, or name an empty checkpoints.url"
            )
        if checkpoint.manifest.model.task != self.identity.model.task:
            raise TrainerError(
                f"{checkpoint.id} was learnt for task {checkpoint.manifest.model.task!r}: set model.task"
            )

    def _restore_parts(self, checkpoint: Checkpoint) -> None:
        """The learner last: where something does not fit, all is as it was."""
        parts, blobs = self.parts, checkpoint.blobs
        value = self.value.state() if self.value is not None else None
        others = blobs["progressive"], blobs["dedupe"], blobs.get("names", b""), blobs.get("sample", b"")
        before = parts.progressive.state(), parts.dedupe.state(), parts.names.state(), parts.sample.state()
        try:
            counts = msgspec.json.decode(blobs["counts"], type=Counts)
            self._restore_others(*others)
            self._restore_value(blobs.get("value"))
            parts.learner.restore(blobs["learner"])
        except (LearnerError, ValueError, msgspec.MsgspecError) as error:
            self._restore_others(*before)
            self._restore_value(value)
            raise TrainerError(f"{checkpoint.id}: {error}") from error
        self.counts = counts

    def _restore_others(self, progressive: bytes, dedupe: bytes, names: bytes, sample: bytes) -> None:
        self.parts.progressive.restore(progressive)
        self.parts.dedupe.restore(dedupe)
        self.parts.names.restore(names)
        self.parts.sample.restore(sample)

    def _restore_value(self, state: bytes | None) -> None:
        if self.value is not None and state is not None:
            self.value.restore(state)
        elif self.value is not None:
            self.value.begin_after(self.parts.progressive.examples)


def _labels(examples: Sequence[Example], is_number: bool) -> Column:
    """NaN where there is no label; 0 for labels that are no number."""
    if is_number:
        return np.array(labels_of(examples), np.float64)
    return np.array([math.nan if label is None else 0.0 for label in labels_of(examples)], np.float64)
