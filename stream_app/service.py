"""The service: one process that learns from a source, serves the model it is learning, and takes checkpoints of it."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, suppress

import msgspec

from checkpoints.errors import CheckpointError, HeadMoved
from checkpoints.manifest import Hole
from stream_app import wiring
from stream_app.alerting import Alerting
from stream_app.elsewhere import Elsewhere
from stream_app.figures import LatestReport, figures_of
from stream_app.history import check_live
from stream_app.importance_watch import ImportanceWatch
from stream_app.keeping import RETRY_S, Keeper, taken_at
from stream_app.live_keeper import LiveKeeper
from stream_app.monitor import Monitor
from stream_app.refusal import NotLearning
from stream_app.rollback import Rollback, rolled_back
from stream_app.rollout import Rollout
from stream_app.serving import Serving
from stream_app.settings import Settings
from stream_app.shadows import Shadows
from stream_app.sources.batches import pieces
from stream_app.sources.source import Position, PositionLost, Records, SourceAway
from stream_app.standing import Standing
from stream_app.state_folder import ALERTS, FIGURES, StateFolder
from stream_app.succession import Succession
from stream_app.watch import Watch

log = logging.getLogger(__name__)

PASSES = 3
"""Passes of the event loop between two micro-batches; it takes so many until a request is known to be under way."""

MOST_PASSES = 10
"""The same while requests are under way."""

PIECE_BYTES = 128 << 10
"""Decoded at once, at most, or one record: a micro-batch of envelopes may hold ten thousands of events."""


class Service(Standing):
    """Owns every part for as long as it runs. Learning, saving and rolling back take turns, one whole step at a time.

    Made, it has restored the newest checkpoint and opened the source; `run` learns until `stop`; `close` takes a last
    checkpoint. Killed at any moment, the next one goes on from the newest checkpoint and ends in the same bytes.
    Where several services share a model, one of them learns, and the others serve its newest checkpoint meanwhile; with
    `is_follower` this one never learns. `accepts_loss`: records that the source no longer has are passed over.
    """

    def __init__(self, settings: Settings, *, is_follower: bool = False, accepts_loss: bool = False) -> None:
        self.settings = settings
        self.is_follower = is_follower
        self._accepts_loss = accepts_loss
        with ExitStack() as opened:
            self._state = StateFolder(settings, is_follower)
            opened.callback(self._state.close)
            learner = wiring.build_learner(settings)
            format_ = wiring.build_format(settings, learner.traits)
            self.store = wiring.build_store(settings)
            self.trainer = wiring.build_trainer(settings, learner, format_, self._state.dead_letters)
            keeper = Keeper(self.trainer, self.store, settings.checkpoints, self._restore())
            keeper.taken_at = taken_at(self.store, keeper.head)
            opened.callback(keeper.close)
            build = wiring.build_follower if is_follower else wiring.build_source
            self.source = build(settings, format_)
            self.elsewhere = Elsewhere(settings, self._state.predictions)
            self.deployments = wiring.build_deployments(settings, self.store)
            self._membership = wiring.build_membership(settings, self.source, self._state.path)
            self._opened = opened.pop_all()
        has_retention = settings.source.retain_s is not None or settings.source.retain_bytes is not None
        retaining = self.source if has_retention else None
        self.monitor = Monitor()
        self.shadows = Shadows(settings, self.deployments, self._state.path, lambda: self.trainer.begun)
        self.rollout = Rollout(settings.deploy, self.deployments)
        self.importance = ImportanceWatch(settings, self.store)
        self._keeper = LiveKeeper(keeper, self._state.journal, retaining, self._durable)
        self._succession = Succession(self.trainer, self.source, self._keeper, self._state.journal, self._membership)
        self.serving = Serving(
            self.trainer,
            self.source,
            self._state.predictions,
            settings,
            lambda: self.model_id,
            self.elsewhere.labels,
        )
        self.serving.offer = self.shadows.offer
        self.serving.hook = wiring.build_predict_hook(settings, self.monitor.errors)
        self.report = LatestReport(self.trainer)
        webhook = wiring.build_webhook(settings, self.monitor.errors)
        fired = self._state.path / ALERTS
        self.alerting = Alerting(settings.alerts, settings.model.name, lambda: figures_of(self), webhook, fired)
        self.requests_under_way = 0
        self.streams_open = 0
        self._is_running = False
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self.is_stopping = False
        self._is_rewound = False
        self._learnt_before: Position = {}
        """Up to where it had come before its last rollback: answers have known of these records before."""
        self._started_at = time.monotonic()
        self.watch = Watch(self, self._state.path / FIGURES)

    async def run(self) -> None:
        """Learn until `stop`. Raises what makes going on impossible; nothing learnt is lost by that."""
        await self.deployments.look()
        self._is_running = True
        await self._membership.open()
        self.elsewhere.start()
        self.deployments.start()
        self.watch.start()
        self.alerting.start()
        if not self.is_follower:
            self.shadows.start()
        while not self.is_stopping:
            try:
                if await self._has_begun():
                    await self._read_on()
                else:
                    await self._membership.wait()
            except HeadMoved as moved:
                await self._give_way(moved)
            except PositionLost as error:
                await self._pass_over(error)
            except SourceAway as error:
                log.warning("%s; tried again", error)
                await self._membership.wait()

    def stop(self) -> None:
        """Let `run` end after the micro-batch under way, within a second."""
        self.is_stopping = True
        self._woken.set()

    async def close(self, why: str = "stopped") -> None:
        """Take a last checkpoint if anything was learnt since, and let go of everything."""
        async with AsyncExitStack() as closed:
            closed.callback(self._opened.close)
            closed.push_async_callback(self.source.close)
            closed.push_async_callback(self.elsewhere.close)
            closed.push_async_callback(self.watch.close)
            closed.push_async_callback(self.deployments.close)
            closed.push_async_callback(self.rollout.close)
            closed.push_async_callback(self.importance.close)
            closed.push_async_callback(self.shadows.close)
            closed.push_async_callback(self.alerting.close)
            closed.push_async_callback(self._membership.close)
            async with self._turn:
                await self._save_last(why)

    async def _save_last(self, why: str) -> None:
        is_begun = self._keeper.head is not None or self.trainer.counts.records
        try:
            if self.trainer.is_whole and is_begun and self.role == "learner":
                await self._keeper.save(why)
            else:
                await self._keeper.settle()
        except HeadMoved:
            if not self._membership.is_shared:
                raise
            log.warning("nothing saved at the end: another service has taken over")

    async def checkpoint(self, why: str = "on demand") -> str:
        """Take a checkpoint now; returns its id. Raises CheckpointError where it cannot be saved, NotLearning."""
        async with self._turn:
            self._check_learning()
            return await self._keeper.save(why)

    async def rollback(self, wanted: Rollback) -> str:
        """Take the model of an older checkpoint; returns the id of the checkpoint that records it.

        With `replay`, learn again from its position, passing over the exceptions; else go on from the present one.
        It is recorded first: whatever is raised, nothing has changed. Raises NotLearning, what `rolled_back` raises,
        and CheckpointError where it cannot be recorded.
        """

        async def done() -> str:
            async with self._turn:
                self._check_learning()
                return await self._roll_back(wanted)

        # Whoever asked may go away; what has begun is done whole.
        return await asyncio.shield(asyncio.create_task(done()))

    def _check_learning(self) -> None:
        """Raises NotLearning where it is another service that does."""
        if self._is_running and self.role != "learner":
            raise NotLearning(f"this service is a {self.role}: ask the one that learns {self.settings.model.name!r}")

    async def _has_begun(self) -> bool:
        """Learn, if it is this service's turn; else follow the one whose turn it is."""
        async with self._turn:
            if self._succession.is_over:
                await self._succession.give_way(None)
            if self._succession.has_turn:
                return await self._succession.begin()
            await self._succession.stand_by()
            return False

    async def _give_way(self, moved: HeadMoved) -> None:
        async with self._turn:
            await self._succession.give_way(moved)

    async def _pass_over(self, lost: PositionLost) -> None:
        """Go on without the records that the source no longer has, if that was allowed; else raise it."""
        if not self._accepts_loss:
            raise lost
        why = "the source no longer had them, accepted by --accept-loss"
        holes = [Hole(partition=p, first=o.start, last=o.stop, why=why) for p, o in sorted(lost.lost.items())]
        async with self._turn:
            self.trainer.pass_over(holes)
        said = ", ".join(f"{hole.partition}:{hole.first}-{hole.last - 1}" for hole in holes)
        log.warning("goes on at %s without what is no longer kept: %s", self.trainer.live_id, said)

    async def _read_on(self) -> None:
        """Learn what comes, until the service stops, is rewound, or has no longer its turn."""
        self._is_rewound = False
        order = self._succession.order()
        records_of = self.source.read(dict(self.trainer.position), order, self.settings.source.batch)
        async with aclosing(records_of) as batches:
            async for records in batches:
                async with self._turn:
                    if self.is_stopping or self._is_rewound or not self._succession.is_current:
                        return
                    await self._learn(records)
                    await self._membership.beat()
                    await self._keeper.save_if_due()
        await self._rest()

    async def _learn(self, records: Records) -> None:
        if not records.payloads:
            return
        if not self.source.keeps_order and len(self.source.end()) > 1:
            self._state.journal.note(records.partition, records.offset, len(records.payloads))
        for piece in pieces(records, PIECE_BYTES):
            before = msgspec.structs.replace(self.trainer.counts)
            with self.monitor.timed("decode"):
                decoded = self.trainer.parts.format.decode(piece.payloads)
            learning = self.trainer.learn(piece, decoded)
            while not self._has_learnt(learning):
                await self._serve()
            is_again = piece.offset < self._learnt_before.get(piece.partition, 0)
            self.monitor.learnt(piece, decoded, is_again)
            self.monitor.passed(before, self.trainer.counts, decoded)
            await self._serve()

    def _has_learnt(self, learning: Iterator[None]) -> bool:
        """Learn a slice; whether that was the last one."""
        with self.monitor.timed("learn"):
            return next(learning, self) is self

    async def _serve(self) -> None:
        """Let requests be answered. One takes some passes of the event loop: read, begun, handled, written."""
        for number in range(MOST_PASSES):
            if number >= PASSES and not self.requests_under_way:
                return
            await asyncio.sleep(0)

    async def _rest(self) -> None:
        """The source has ended, as a file does: keep serving what was learnt."""
        while not self.is_stopping and not self._is_rewound:
            self._woken.clear()
            try:
                async with self._turn:
                    await self._keeper.save("end of the source")
            except HeadMoved:
                raise
            except CheckpointError:
                log.debug("tried again in %g s", RETRY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), RETRY_S if self._keeper.error is not None else None)

    async def _roll_back(self, wanted: Rollback) -> str:
        await self._keeper.settle()
        before = dict(self.trainer.position)
        checkpoint = await rolled_back(wanted, self.trainer, self.store, self.source)
        recorded = await self._keeper.begin_from(checkpoint, wanted.note)
        self.rollout.offer(recorded)
        self._learnt_before = {part: max(at, self._learnt_before.get(part, 0)) for part, at in before.items()}
        self._is_rewound = True
        self._woken.set()
        log.info("rolled back to %s, at %s", wanted.id, self.trainer.live_id)
        return recorded

    def _durable(self, position: Position, took_s: float) -> None:
        """A checkpoint at this position is."""
        self.monitor.took("checkpoint", took_s)
        self._membership.note(position)
        if self._keeper.head is not None:
            self.rollout.offer(self._keeper.head)
            if not self.is_stopping:
                self.importance.offer(self._keeper.head)

    def _restore(self) -> str | None:
        head = self.store.head()
        if head is not None:
            checkpoint = self.store.load(head)
            check_live(checkpoint)
            wiring.check_made_by(self.settings, checkpoint)
            self.trainer.restore(checkpoint)
            log.info("restored %s at %s", head, self.trainer.live_id)
        return head
