"""The service: one process that learns from a source, serves the model it is learning, and takes checkpoints of it."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, aclosing, suppress
from pathlib import Path

import msgspec

from checkpoints.checkpoint import Checkpoint, Note
from checkpoints.errors import CheckpointError, CheckpointMissing, HeadMoved
from checkpoints.lineage import lineage, resolve
from checkpoints.manifest import Hole
from stream_app import wiring
from stream_app.config import Settings
from stream_app.history import check_live, is_live, is_seam
from stream_app.journal import Journal
from stream_app.remembered import RememberedEvents
from stream_app.serving import Serving
from stream_app.sources.owner import hold
from stream_app.sources.source import Order, Position, Records, SourceError

log = logging.getLogger(__name__)

PRUNE_PART = 4
"""Checkpoints are pruned when a quarter more than are to be kept may be there: looking through them takes a while."""

PASSES = 3
"""Passes of the event loop between two micro-batches; it takes so many until a request is known to be under way."""

MOST_PASSES = 10
"""The same while requests are under way."""

PAUSE_SHARE = 200.0
"""Checkpoints by number of events pause learning for at most a two-hundredth of the time, however fast events come."""

RETRY_S = 5.0
"""How long to wait after a checkpoint that could not be saved."""
NEVER = -1
"""In place of a number of records: what is learnt is in no checkpoint yet."""


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
            self._head = self._restore()
            self._journal = Journal(state / "order.journal")
            opened.callback(self._journal.close)
            self._remembered = RememberedEvents(
                state / "remembered", settings.state.remember, settings.state.remember_s
            )
            opened.callback(self._remembered.close)
            self.source = wiring.build_source(settings, format_)
            self._opened = opened.pop_all()
        self.serving = Serving(self.trainer, self.source, self._remembered, settings.events.max_bytes)
        self.requests_under_way = 0
        self.streams_open = 0
        self._is_running = False
        self.checkpoint_error: str | None = None
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self.is_stopping = False
        self._is_rewound = False
        self._unpruned = 0
        self._pause_s = 0.0
        self._saving: asyncio.Task[str] | None = None
        self._saving_at: Position = {}
        self._started_at = self._saved_at = time.monotonic()
        self._saved_records = self.trainer.counts.records

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
            "checkpoint": self._head,
            "checkpoint_error": self.checkpoint_error,
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
        if self.checkpoint_error is not None:
            problems.append(f"the last checkpoint was not saved: {self.checkpoint_error}")
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
                        await self._save_if_due()
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
                if self.trainer.is_whole and (self._head is not None or self.trainer.counts.records):
                    await self._save(why)
                else:
                    await self._settle()
        finally:
            await self.source.close()
            self._opened.close()

    async def checkpoint(self, why: str = "on demand") -> str:
        """Take a checkpoint now; returns its id. Raises CheckpointError where it cannot be saved."""
        async with self._turn:
            return await self._save(why)

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
        if self._journal.is_new and self._head is not None and not self._is_at_seam and self.lag:
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
                    await self._save("end of the source")
            except HeadMoved:
                raise
            except CheckpointError:
                log.debug("tried again in %g s", RETRY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), RETRY_S if self.checkpoint_error is not None else None)

    async def _save_if_due(self) -> None:
        if self._saving is not None:
            if self._saving.done():
                await self._settle()
            return
        new = self.trainer.counts.records - self._saved_records
        age_s = time.monotonic() - self._saved_at
        settings = self.settings.checkpoints
        if self.checkpoint_error is not None:
            if age_s >= RETRY_S:
                self._begin_save("tried again")
        elif new >= settings.every_events and age_s >= self._pause_s:
            self._begin_save(f"every {settings.every_events} events")
        elif new and age_s >= settings.every_s:
            self._begin_save(f"every {settings.every_s:g} s")

    def _begin_save(self, why: str) -> None:
        """Take a snapshot now; write it while learning goes on."""
        began_at = time.monotonic()
        snapshot = self.trainer.snapshot()
        self._saved_records = self.trainer.counts.records
        self._saved_at = time.monotonic()
        self._pause_s = (self._saved_at - began_at) * PAUSE_SHARE
        self._saving_at = dict(self.trainer.position)
        self._saving = asyncio.create_task(asyncio.to_thread(self._write, snapshot.checkpoint, why, self._head))

    def _write(self, checkpoint_of: Callable[[], Checkpoint], why: str, head: str | None) -> str:
        """In a thread: everything that touches the disk. What is saved stays saved where tidying up fails."""
        checkpoint = checkpoint_of()
        note = Note.now(why, checkpoint.manifest.versions["weir"])
        try:
            model_id = self.store.save(checkpoint, note, head)
        except HeadMoved:
            raise
        except CheckpointError as error:
            # Only the very last flush may fail after HEAD has moved.
            if self.store.head() != checkpoint.id:
                raise
            model_id = checkpoint.id
            log.warning("checkpoint %s is saved, but: %s", model_id, error)
        keep = self.settings.checkpoints.keep
        self._unpruned += 1
        if self._unpruned > keep // PRUNE_PART:
            self._unpruned = 0
            try:
                self.store.prune(keep, [summary.id for summary in self.store.list()[:keep]])
            except CheckpointError as error:
                log.warning("old checkpoints stay: %s", error)
        return model_id

    async def _settle(self) -> None:
        """Wait for the checkpoint being written, if any. A failure is kept for /status and tried again later."""
        if self._saving is None:
            return
        try:
            # Shielded: where the one who waits is cancelled, the thread goes on, and the next one hears the outcome.
            self._head = await asyncio.shield(self._saving)
        except CheckpointError as error:
            self._saving = None
            self.trainer.settle(None)
            self._saved_records = NEVER
            self.checkpoint_error = str(error)
            log.error("%s", error)
            if isinstance(error, HeadMoved):
                raise
            return
        self._saving = None
        self.trainer.settle(self._head)
        self.checkpoint_error = None
        self._journal.forget(self._saving_at)
        self._release()
        log.info("checkpoint %s", self._head)

    async def _save(self, why: str) -> str:
        """Take a checkpoint and wait until it is durable. Where nothing was learnt since, it is the last one."""
        await self._settle()
        if self._head is None or self.trainer.counts.records != self._saved_records:
            self._begin_save(why)
            await self._settle()
        if self._head is None or self.checkpoint_error is not None:
            raise CheckpointError(self.checkpoint_error or "checkpoint not saved")
        return self._head

    async def _roll_back(self, wanted: Rollback) -> str:
        await self._settle()
        model_id = await self.named(wanted.id)
        checkpoint = await asyncio.to_thread(self.store.load, model_id)
        check_live(checkpoint)
        if wanted.replay:
            rolled_back = self.trainer.replayed_from(checkpoint, wanted.exceptions)
            await self._check_readable(checkpoint.manifest.position)
        else:
            rolled_back = self.trainer.skipped_to_here(checkpoint)
        self._head = await asyncio.to_thread(self._write, lambda: rolled_back, f"rollback to {model_id}", self._head)
        self.trainer.restore(rolled_back)
        self._rollback = self._head
        self._saved_records, self._saved_at = self.trainer.counts.records, time.monotonic()
        self.checkpoint_error = None
        self._is_rewound = True
        self._woken.set()
        log.info("rolled back to %s, at %s", model_id, self.trainer.live_id)
        return self._head

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

    def _release(self) -> None:
        """Retention may forget what no kept checkpoint of this lineage would read again."""
        if self.settings.source.retain_s is None and self.settings.source.retain_bytes is None:
            return
        try:
            line = lineage(self._head, self.store.list())
            kept = [manifest for summary in line if (manifest := summary.manifest) is not None and is_live(manifest)]
            if kept:
                self.source.release(kept[-1].position)
        except (CheckpointError, SourceError) as error:
            log.warning("old records stay: %s", error)
