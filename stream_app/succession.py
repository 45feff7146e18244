"""Who learns, and from which checkpoint on: standing by, taking over from another service, giving way to one.

The promise: whoever learns has begun with a checkpoint of its own, which nobody else learns on from. So a service that
was taken over from without noticing cannot save any more, and what it learnt meanwhile counts for nothing.
"""

import asyncio
import logging
import time
from collections import deque

from checkpoints.errors import CheckpointError, HeadMoved
from stream_app.derived import taken_over
from stream_app.history import is_seam
from stream_app.journal import Journal
from stream_app.keeping import RETRY_S
from stream_app.live_keeper import LiveKeeper
from stream_app.membership import Membership
from stream_app.sources.source import Order, Source
from stream_app.trainer import Trainer, TrainerError

log = logging.getLogger(__name__)

MOST_INTRUSIONS = 3
WITHIN_S = 600.0
"""When others have saved more often than that, within so long, in turns of this service, they know nothing of turns."""


class Succession:
    """Written by the one coroutine that learns. `is_learning` says whether this service is the one that does."""

    def __init__(
        self, trainer: Trainer, source: Source, keeper: LiveKeeper, journal: Journal, membership: Membership
    ) -> None:
        self.is_learning = False
        self.problem: str | None = None
        """Why the newest checkpoint cannot be followed; None while it can."""
        self.failure: str | None = None
        """Why learning cannot begin though it is this service's turn."""
        self._trainer = trainer
        self._source = source
        self._keeper = keeper
        self._journal = journal
        self._membership = membership
        self._intruded_at: deque[float] = deque(maxlen=MOST_INTRUSIONS + 1)
        self._tried_at = -RETRY_S
        self._turn = 0

    @property
    def is_onlooker(self) -> bool:
        """Whether another service may be learning meanwhile."""
        return self._membership.is_shared and not self.is_learning

    @property
    def is_over(self) -> bool:
        """Whether this service still learns though it is another one's turn."""
        return self.is_learning and not self.has_turn

    @property
    def is_current(self) -> bool:
        """Whether nothing has changed since learning began: it is the same turn, of the same partitions."""
        return self._membership.turn == self._turn

    @property
    def has_turn(self) -> bool:
        """Whether it is this service's turn to learn, going on or beginning."""
        return self._membership.turn > 0

    async def stand_by(self) -> None:
        """Serve the newest checkpoint of whoever learns."""
        await self._membership.beat()
        await self._follow()

    async def begin(self) -> bool:
        """Learn from here on. Where another service may have learnt before, take over from it.

        False, and `failure` says why, while that cannot be recorded; tried again after a while.
        Raises HeadMoved where another one was faster, TrainerError where its checkpoint does not fit.
        """
        if self._membership.is_shared and not self.is_learning:
            await self._membership.beat()
            if time.monotonic() < self._tried_at + RETRY_S:
                return False
            try:
                await self._keeper.follow()
                await self._take_over()
            except HeadMoved:
                raise
            except CheckpointError as error:
                self._tried_at = time.monotonic()
                self.failure = f"learning cannot begin: {error}"
                log.error(self.failure)
                return False
        self.problem = self.failure = None
        self.is_learning = True
        self._turn = self._membership.turn
        return True

    def order(self) -> Order:
        """The order in which the records after the position were learnt before, as far as it is known."""
        return [] if self._source.keeps_order else self._journal.order_after(self._trainer.position)

    async def give_way(self, moved: HeadMoved | None) -> None:
        """Stop learning: another service has its turn, or has saved. What was learnt since is let go of.

        Raises `moved` where nobody else may save here.
        """
        if moved is not None:
            self._intruded_at.append(time.monotonic())
            is_often = len(self._intruded_at) > MOST_INTRUSIONS
            if not self._membership.is_shared or (is_often and time.monotonic() - self._intruded_at[0] < WITHIN_S):
                raise moved
            self._membership.doubt()
        log.warning("gives way to another service, which goes on from the last checkpoint")
        self.is_learning = False
        await self._keeper.abandon()
        await self._follow()

    async def _follow(self) -> None:
        try:
            if await self._keeper.follow():
                log.info("follows %s", self._keeper.head)
            self.problem = None
        except (CheckpointError, TrainerError) as error:
            self._tell(f"the newest checkpoint cannot be followed: {error}")

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            log.warning(problem)
        self.problem = problem

    async def _take_over(self) -> None:
        begun = self._trainer.begun
        if begun is not None and self._journal.begins_at(begun):
            log.info("goes on after %s, as it was the last one to learn", self._keeper.head)
            return
        head = self._keeper.head
        if head is None:
            self._trainer.stand_at(self._source.start())
            await self._keeper.begin("learning begins")
            return
        checkpoint = await self._keeper.load(head)
        is_order_lost = not is_seam(checkpoint.manifest) and await self._is_more_to_learn()
        taken = await asyncio.to_thread(taken_over, self._trainer, checkpoint, is_order_lost)
        await self._keeper.begin_from(taken, f"taken over at {head}")
        log.warning("took over at %s", head)

    async def _is_more_to_learn(self) -> bool:
        """Whether several partitions hold something after the position: the one before may have learnt some of it."""
        await self._membership.look()
        ends, position = self._source.end(), self._trainer.position
        is_more = self._source.problem is not None or any(end > position.get(part, 0) for part, end in ends.items())
        return len(ends) > 1 and is_more
