"""Restores the join's state, however long the broker takes: Faust gives up after one answer that does not come in time.

It ends its recovery then, for good and without a word: the worker would keep its partitions and join nothing of them.
"""

import logging

from aiokafka.errors import IllegalStateError, KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode.services import WaitArgT
from mode.utils.times import Seconds

from stream_app.joining import Joining

RETRY_S = 1.0

# What mode logs in this module's name is silenced by `weir worker`.
loud = logging.getLogger(Joining.__module__)


class PatientRecovery(Recovery):
    """A recovery that begins anew where the broker does not answer; `problem` says so until it is through."""

    problem: str | None = None

    async def _wait(self, coro: WaitArgT, timeout: Seconds | None = None) -> None:  # noqa: ASYNC109 it is Faust's
        try:
            await super()._wait(coro, timeout)
        except IllegalStateError:  # the partitions are shared out anew, and it begins anew by that
            raise
        except (ServiceStopped, KafkaError, TimeoutError) as error:
            if self.should_stop:
                raise
            reason = "no answer in time" if isinstance(error, ServiceStopped) else str(error) or repr(error)
            self._tell(f"the label join waits: its state cannot be restored yet: {reason}")
            await self.sleep(RETRY_S)
            self.signal_recovery_start.set()
            raise RebalanceAgain from error

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        await super().on_recovery_completed(generation_id)
        if generation_id == self.app.consumer_generation_id:
            self._tell(None)

    def _tell(self, problem: str | None) -> None:
        if problem != self.problem:
            loud.warning(problem or "the label join goes on")
        self.problem = problem


class PatientTables(TableManager):
    """Tables that are recovered so."""

    _recovery: PatientRecovery | None = None

    @property
    def recovery(self) -> PatientRecovery:
        if self._recovery is None:
            self._recovery = PatientRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
