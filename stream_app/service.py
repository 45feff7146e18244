"""The service: one process that learns from a source, serves the model it is learning, and takes checkpoints of it."""

import asyncio
import logging
import os
import time
from contextlib import ExitStack, aclosing, suppress
from pathlib import Path

import msgspec

from checkpoints.errors import CheckpointError, CheckpointMissing, HeadMoved
from checkpoints.lineage import resolve
from checkpoints.manifest import Hole
from stream_app import wiring
from stream_app.config import Settings
from stream_app.history import check_live, is_seam
from stream_app.journal import Journal
from stream_app.keeping import RETRY_S, Keeper, LiveKeeper
from stream_app.remembered import RememberedEvents
from stream_app.serving import Serving
from stream_app.sources.owner import hold
from stream_app.sources.source import Order, Position, Records

log = logging.getLogger(__name__)

PASSES = 3
"""Passes of the event loop between two micro-batches; it takes so many until a request is known to be under way."""

MOST_PASSES = 10
"""The same while requests are under way."""


class ServiceError(Exception):
    """What a caller asked of the service cannot be done. The message says why."""


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"exceptions": "except"}):
    """What `POST /rollback` asks for: a checkpoint, whether to learn again from there, and what to leave out then."""

    id: str
    replay: bool = False
    exceptions: list[Hole] = []


class Service:
    """Owns every part for as long as it runs. Learning, saving and rolling back take turns, one whole step at a time.

    Made, it has restored the newest checkpoint and opened the source; `run` learns until `stop`; `close` takes a last
    checkpoint. Killed at any moment, the next one goes on from the newest checkpoint and ends in the same bytes.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        state = Path(settings.state.dir)
        state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            opened.callback(os.close, hold(state / "OWNER"))
            learner = wiring.build_learner(settings)
            format_ = wiring.build_format(settings, learner.traits)
            self.store = wiring.build_store(settings)
            self.dead_letters = wiring.build_dead_letters(settings)
            opened.callback(self.dead_letters.close)
            self.trainer = wiring.build_trainer(settings, learner, format_, self.dead_letters)
            self._rollback: str | None = None
            self._is_at_seam = False
            head = self._restore()
            self._journal = Journal(state / "order.journal")
            opened.callback(self._journal.close)
            self._remembered = RememberedEvents(
                state / "remembered", settings.state.remember, settings.state.remember_s
            )
            opened.callback(self._remembered.close)
            self.source = wiring.build_source(settings, format_)
            keeper = Keeper(self.trainer, self.store, settings.checkpoints, head)
            opened.callback(keeper.close)
            self._opened = opened.pop_all()
        has_retention = settings.source.retain_s is not None or settings.source.retain_bytes is not None
        self._keeper = LiveKeeper(keeper, self._journal, self.source if has_retention else None)
        self.serving = Serving(self.trainer, self.source, self._remembered, settings.events.max_bytes)
        self.requests_under_way = 0
        self.streams_open = 0
        self._is_running = False
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self.is_stopping = False
        self._is_rewound = False
        self._started_at = time.monotonic()

    @property
    def lag(self) -> int:
        """Records in the source that are not learnt yet."""
        return sum(end - self.trainer.position.get(part, 0) for part, end in self.source.end().items())

    def status(self) -> dict[str, object]:
        """What it is doing, in one object."""
        trainer = self.trainer
        total = trainer.parts.progressive.report()["total"]
        figures = total if isinstance(total, dict) else {}
        return {
            "name": self.settings.model.name,
            "task": self.settings.model.task,
            "model": trainer.live_id,
            "checkpoint": self._keeper.head,
            "checkpoint_error": self._keeper.error,
            "ready": not self.problems(),
            "position": {str(part): offset for part, offset in sorted(trainer.position.items())},
            "lag": self.lag,
            "examples": figures.get("examples"),
            "average_loss": figures.get("average_loss"),
            "since_last": figures.get("since_last"),
            **msgspec.to_builtins(trainer.counts),
            "predictions": self.serving.predictions,
            "labels": self.serving.labels,
            "exact_resume": trainer.parts.learner.traits.exact_resume,
            "uptime_s": round(time.monotonic() - self._started_at, 1),
        }

    def problems(self) -> list[str]:
        """Why a client should not rely on this service now; empty while it may."""
        problems = [] if self._is_running else ["not learning yet"]
        nan = self.trainer.parts.learner.nan_predictions
        if nan:
            problems.append(f"{nan} predictions were not finite: the learner has diverged; roll back")
        if self._keeper.error is not None:
            problems.append(f"the last checkpoint was not saved: {self._keeper.error}")
        problems += [problem for kept in (self._remembered, self.dead_letters) if (problem := kept.problem) is not None]
        return problems

    async def run(self) -> None:
        """Learn until `stop`. Raises what makes going on impossible; nothing learnt is lost by that."""
        self._is_running = True
        while not self.is_stopping:
            order = self._order()
            self._is_rewound = False
            records_of = self.source.read(dict(self.trainer.position), order, self.settings.source.batch)
            async with aclosing(records_of) as batches:
                async for records in batches:
                    async with self._turn:
                        if self.is_stopping or self._is_rewound:
                            break
                        await self._learn(records)
                        await self._keeper.save_if_due()
                else:
                    await self._rest()

    def stop(self) -> None:
        """Let `run` end after the micro-batch under way, within a second."""
        self.is_stopping = True
        self._woken.set()

    async def close(self, why: str = "stopped") -> None:
        """Take a last checkpoint if anything was learnt since, and let go of everything."""
        try:
            async with self._turn:
                if self.trainer.is_whole and (self._keeper.head is not None or self.trainer.counts.records):
                    await self._keeper.save(why)
                else:
                    await self._keeper.settle()
        finally:
            await self.source.close()
            self._opened.close()

    async def checkpoint(self, why: str = "on demand") -> str:
        """Take a checkpoint now; returns its id. Raises CheckpointError where it cannot be saved."""
        async with self._turn:
            return await self._keeper.save(why)

    async def rollback(self, wanted: Rollback) -> str:
        """Take the model of an older checkpoint; returns the id of the checkpoint that records it.

        With `replay`, learn again from its position, passing over the exceptions; else go on from the present one.
        It is recorded first: whatever is raised, nothing has changed. Raises CheckpointError for a checkpoint that is
        unknown, damaged, or cannot be recorded, TrainerError for one that does not fit, SourceError where the source
        no longer has what is to be replayed, ServiceError for exceptions that cannot be.
        """
        if wanted.exceptions and not wanted.replay:
            raise ServiceError("except: only a replay can leave something out; set replay")
        unknown = {hole.partition for hole in wanted.exceptions} - self.source.end().keys()
        if unknown:
            raise ServiceError(f"except: there is no partition {min(unknown)} in {self.settings.source.url}")

        async def rolled_back() -> str:
            async with self._turn:
                return await self._roll_back(wanted)

        # Whoever asked may go away; what has begun is done whole.
        return await asyncio.shield(asyncio.create_task(rolled_back()))

    def _order(self) -> Order:
        """The order in which the records after the restored position were learnt before, as far as it is known."""
        if self.source.keeps_order:
            return []
        if self._rollback is not None and not self._journal.begins_at(self._rollback):
            self._journal.rewind(self.trainer.position, self._rollback)
        self._rollback = None
        order = self._journal.order_after(self.trainer.position)
        if self._journal.is_new and self._keeper.head is not None and not self._is_at_seam and self.lag:
            self.trainer.order_is_lost()
        return order

    async def _learn(self, records: Records) -> None:
        if not records.payloads:
            return
        if not self.source.keeps_order and len(self.source.end()) > 1:
            self._journal.note(records.partition, records.offset, len(records.payloads))
        for _ in self.trainer.learn(records):
            await self._serve()
        await self._serve()

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
        model_id = await self.named(wanted.id)
        checkpoint = await asyncio.to_thread(self.store.load, model_id)
        check_live(checkpoint)
        if wanted.replay:
            rolled_back = self.trainer.replayed_from(checkpoint, wanted.exceptions)
            await self._check_readable(checkpoint.manifest.position)
        else:
            rolled_back = self.trainer.skipped_to_here(checkpoint)
        self._rollback = recorded = await self._keeper.become(rolled_back, f"rollback to {model_id}")
        self._is_rewound = True
        self._woken.set()
        log.info("rolled back to %s, at %s", model_id, self.trainer.live_id)
        return recorded

    async def named(self, prefix: str) -> str:
        """The id that a prefix names. Raises CheckpointMissing, or ServiceError where it is no prefix or ambiguous."""
        try:
            return await asyncio.to_thread(resolve, self.store, prefix)
        except CheckpointMissing:
            raise
        except CheckpointError as error:
            raise ServiceError(f"id: {error}") from error

    async def _check_readable(self, position: Position) -> None:
        """Raises SourceError where reading cannot begin at `position`."""
        async with aclosing(self.source.read(dict(position), [], 1)) as batches:
            await anext(batches, None)

    def _restore(self) -> str | None:
        head = self.store.head()
        if head is not None:
            checkpoint = self.store.load(head)
            check_live(checkpoint)
            self.trainer.restore(checkpoint)
            is_rollback = checkpoint.manifest.parent is not None and not checkpoint.manifest.since_parent.records
            self._rollback = head if is_rollback else None
            self._is_at_seam = is_seam(checkpoint.manifest)
            log.info("restored %s at %s", head, self.trainer.live_id)
        return head
