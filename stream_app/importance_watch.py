"""Importance as checkpoints come: measured in a thread, compared with the last one, alerted of. Knows no route."""

import asyncio
import logging
import time
from collections import OrderedDict

from checkpoints.checkpoint import CheckpointStore
from checkpoints.errors import CheckpointError
from learners.learner import LearnerError
from stream_app.importance import Importance, Movement, importance, movement, named
from stream_app.settings import ConfigError, Settings
from stream_app.trainer import TrainerError

log = logging.getLogger(__name__)

LEAST_FIELDS = 5
"""Fields that both checkpoints must have: the order of fewer says little."""

LEAST_EXAMPLES = 30
"""The same of sampled examples."""

KEPT = 8
"""Checkpoints whose importance stays at hand."""

REST_S = 0.001
"""Sleep between two examples, so that requests and learning get the interpreter at once."""

_UNMEASURABLE = (ValueError, ConfigError, CheckpointError, TrainerError)


class ImportanceWatch:
    """Written on the event loop; models are loaded and measured in a thread, one at a time, never the live learner.

    Of the checkpoints offered, one is measured at most every `[importance] every_s` seconds (0: none), for the first
    time so long after the start: a service that has just begun has other things to do.
    """

    def __init__(self, settings: Settings, store: CheckpointStore) -> None:
        self.latest: Importance | None = None
        """Of the checkpoint that was measured last."""
        self.movement: Movement | None = None
        """Since the one measured before it."""
        self.problem: str | None = None
        """That the order of the fields has changed suddenly; None once two in a row are alike again."""
        self._settings = settings
        self._store = store
        self._kept: OrderedDict[str, Importance] = OrderedDict()
        self._measuring = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._measured_at = time.monotonic()
        self._is_stopping = False

    @property
    def rank_correlation(self) -> float | None:
        """Of the fields of the last two checkpoints measured; None where they cannot be compared."""
        return None if self.movement is None else self.movement.rank_correlation

    def status(self) -> dict[str, object]:
        """For `/status`."""
        return {
            "model": None if self.latest is None else self.latest.model,
            "rank_correlation": self.rank_correlation,
            "problem": self.problem,
        }

    def offer(self, model_id: str) -> None:
        """A checkpoint is durable: measure it, unless another one was lately."""
        every_s = self._settings.importance.every_s
        is_early = time.monotonic() - self._measured_at < every_s
        if not every_s or is_early or self._is_stopping or (self._task is not None and not self._task.done()):
            return
        self._measured_at = time.monotonic()
        self._task = asyncio.create_task(self._look(model_id))

    async def of(self, model_id: str) -> Importance:
        """Of any checkpoint. Raises what loading, building and explaining its model raise."""
        async with self._measuring:
            found = self._kept.get(model_id)
            if found is None:
                found = await asyncio.to_thread(self._measure, model_id)
                self._kept[model_id] = found
            self._kept.move_to_end(model_id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    async def close(self) -> None:
        """What is being measured is given up, within a moment."""
        self._is_stopping = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def _measure(self, model_id: str) -> Importance:
        return importance(self._settings, self._store.load(model_id), self._rest)

    def _rest(self) -> None:
        if self._is_stopping:
            raise LearnerError("importance: the service is stopping")
        time.sleep(REST_S)

    async def _look(self, model_id: str) -> None:
        try:
            found = await self.of(model_id)
        except _UNMEASURABLE as error:
            log.info("importance of %s is not known: %s", model_id[:19], error)
            return
        before, self.latest = self.latest, found
        if before is None or not (_says_enough(before) and _says_enough(found)):
            self.movement, self.problem = None, None
            return
        self.movement = movement(before, found)
        self._judge(self.movement)

    def _judge(self, moved: Movement) -> None:
        correlation, least = moved.rank_correlation, self._settings.importance.alert_below
        if correlation is None or correlation >= least:
            self.problem = None
            return
        self.problem = (
            f"what the model goes by changed suddenly: the fields' rank correlation between {moved.before[:19]} and "
            f"{moved.after[:19]} is {correlation:.2f}, less than {least:g} (importance.alert_below); most moved: "
            f"{named(moved.fields, 3)}"
        )
        log.warning("%s", self.problem)


def _says_enough(found: Importance) -> bool:
    return len(found.fields) >= LEAST_FIELDS and found.examples >= LEAST_EXAMPLES
