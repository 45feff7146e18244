"""Learning the past again: from a checkpoint, or from nothing, to a moment, in the order in which it was learnt."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Hole
from learners.learner import Learner
from stream_app import wiring
from stream_app.dead_letters import DeadLetterBox
from stream_app.moment import Moment, live_name
from stream_app.refusal import ServiceError
from stream_app.settings import Settings
from stream_app.sources.source import Order, Position, Records, Source, SourceError
from stream_app.stored_model import as_learnt
from stream_app.trainer import Trainer

BATCH = 1024

Leave = Callable[[Records], Sequence[Hole]]
"""Which of the records to leave out."""

Tell = Callable[[int], None]
"""Told how many records were passed, again and again."""


class NoLetters:
    """Dead letters of records that were learnt before: they are kept where they were found first."""

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        """Nothing."""


class Relearning:
    """A trainer of its own that learns records of a source again; the one that is live hears nothing of it.

    With a `base` it goes on from that checkpoint, with its learner and schema; else it begins empty, as `settings` say.
    Raises what building and restoring raise.
    """

    def __init__(self, settings: Settings, base: Checkpoint | None, source: Source) -> None:
        self.settings = as_learnt(settings, base.manifest) if base is not None else settings
        self.trainer = own_trainer(self.settings)
        if base is not None:
            self.trainer.restore(base)
        self._source = source

    @property
    def learner(self) -> Learner:
        """What has learnt."""
        return self.trainer.parts.learner

    async def follow(self, order: Order, tell: Tell = lambda passed: None) -> None:
        """Learn exactly these runs. Raises SourceError where the source has fewer, PositionLost where no longer."""
        left = sum(count for _, count in order)
        if not left:
            return
        async with aclosing(self._source.read(dict(self.trainer.position), order, BATCH)) as batches:
            async for records in batches:
                if not records.payloads:
                    raise SourceError(f"the source ends {left} records before what was learnt of it")
                self.trainer.learn_whole(records)
                left -= len(records.payloads)
                tell(len(records.payloads))
                if not left:
                    return

    async def to(
        self, target: Moment, order: Order, leave: Leave = lambda records: (), tell: Tell = lambda passed: None
    ) -> None:
        """Learn until the model has learnt what it had at that moment, but for what `leave` says.

        Raises SourceError where the source does not hold that much, or no longer; ServiceError where the live model
        never stood there.
        """
        self._check_there(target)
        passed = await self._reach(target, order, leave, tell) if not self._is_at(target.position) else 0
        if target.ahead:
            await self._learn_ahead(target, _after(order, passed))

    def check_ahead(self, target: Moment, base: str) -> None:
        """Raises ServiceError where nothing is left to learn up to that moment, or it lies before `base`."""
        here = {part: self._here(part) for part in target.position}
        if any(offset < here[part] for part, offset in target.position.items()):
            where = "lies before"
        elif here == target.position and not target.ahead:
            where = "is where it stands already, at"
        else:
            return
        raise ServiceError(
            f"--to: {target.name} {where} --from {base} ({live_name(here, 0)}): nothing would be learnt again; give a"
            " later offset, or an older checkpoint"
        )

    async def _reach(self, target: Moment, order: Order, leave: Leave, tell: Tell) -> int:
        """Learn up to the position of a moment; how many records that were."""
        passed = 0
        async with aclosing(self._source.read(dict(self.trainer.position), order, BATCH)) as batches:
            while not self._is_at(target.position):
                records = await anext(batches, None)
                if records is None or not records.payloads:
                    raise SourceError(f"the source ends at {self.trainer.live_id}, before {target.name}")
                cut = self._cut(records, target)
                self.trainer.ahead.add(leave(cut))
                self.trainer.learn_whole(cut)
                passed += len(cut.payloads)
                tell(len(cut.payloads))
        return passed

    async def until(self, time_s: float) -> None:
        """Learn what was appended by then, in the source's own order."""
        ends = self._source.end()
        async with aclosing(self._source.read(dict(self.trainer.position), [], 1)) as batches:
            while any(end > self._here(part) for part, end in ends.items()):
                records = await anext(batches)
                if records.time_s > time_s or not records.payloads:
                    return
                self.trainer.learn_whole(records)

    def _here(self, partition: int) -> int:
        learnt = self.trainer.position.get(partition)
        return learnt if learnt is not None else self._source.start().get(partition, 0)

    def _is_at(self, position: Position) -> bool:
        return all(self._here(part) >= offset for part, offset in position.items())

    def _check_there(self, target: Moment) -> None:
        ends = self._source.end()
        for part, offset in target.position.items():
            if part not in ends:
                raise ServiceError(f"{target.name}: there is no partition {part}, the source has {len(ends)}")
            if offset > ends[part]:
                raise SourceError(f"{target.name}: partition {part} ends at {ends[part]}")

    def _cut(self, records: Records, target: Moment) -> Records:
        """Those of the records that were learnt by then."""
        left = target.position.get(records.partition, 0) - records.offset
        if left <= 0:
            raise ServiceError(
                f"{target.name}: the live model never stood there: after {self.trainer.live_id} it learnt "
                f"{records.partition}:{records.offset}"
            )
        if left >= len(records.payloads):
            return records
        return msgspec.structs.replace(records, payloads=records.payloads[:left])

    async def _learn_ahead(self, target: Moment, order: Order) -> None:
        """Learn the first examples of a micro-batch, as far as the live model had when it was asked in the middle."""
        async with aclosing(self._source.read(dict(self.trainer.position), order, BATCH)) as batches:
            records = await anext(batches)
        for _ in self.trainer.learn(records):
            if self.trainer.ahead_of_position >= target.ahead:
                break
        if self.trainer.ahead_of_position != target.ahead:
            raise ServiceError(f"{target.name}: the live model never stood there")


def own_trainer(settings: Settings, letters: DeadLetterBox | None = None) -> Trainer:
    """A trainer at the very beginning, of which nobody else hears, but `letters` of what cannot be learnt."""
    learner = wiring.build_learner(settings)
    format_ = wiring.build_format(settings, learner.traits)
    return wiring.build_trainer(settings, learner, format_, letters or NoLetters())


def _after(order: Order, passed: int) -> Order:
    """What is left of some runs after so many records.

    >>> _after([(0, 3), (1, 2)], 4)
    [(1, 1)]
    """
    left: Order = []
    for partition, count in order:
        skipped = min(count, passed)
        passed -= skipped
        if count > skipped:
            left.append((partition, count - skipped))
    return left
