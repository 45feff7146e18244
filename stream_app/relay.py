"""Sends predictions from their log to a topic, where others join labels or read along. Never delays `/predict`."""

import asyncio
import logging
from collections.abc import Callable

from stream_app.beside import Beside
from stream_app.logged import Logged
from stream_app.prediction_log import Reader
from stream_app.sources.source import Source, SourceError

AT_ONCE = 100
"""Predictions read between two passes of the event loop: some 0.5 ms."""

AT_ONCE_BYTES = 4 << 20
"""Of their events, where these are large; one is always read."""

IDLE_S = 0.05
LONGEST_WAIT_S = 5.0

log = logging.getLogger(__name__)


class Relay:
    """One task that appends predictions to a topic, key = id, in order of prediction, at least once.

    What it has sent is noted beside the log, so it goes on after kill -9; what it sent last may be sent again then.
    While the topic cannot be written it waits and tries again, for as long as predictions are kept: what is forgotten
    before it was sent is counted, and told by `problem` until predictions are sent again. Whatever else is raised ends
    it: `problem` tells that for good, predictions wait for the next service on this folder.
    """

    def __init__(
        self, reader: Reader, topic: Source, max_bytes: int, record_of: Callable[[Logged], bytes], why: str
    ) -> None:
        """`record_of` makes the record of a prediction; `why` says in messages what they are sent for."""
        self._reader = reader
        self._topic = topic
        self._max_bytes = max_bytes
        self._record_of = record_of
        self._why = why
        self._sending = Beside("sending predictions", self._run)
        self._failure: str | None = None
        self._lost_before = reader.lost
        self.relayed = 0
        self.too_large = 0

    @property
    def problem(self) -> str | None:
        """Why predictions are not sent at present, and how many are lost by it; None once all are sent again."""
        failure = self._failure
        if (error := self._sending.error) is not None:
            failure = f"it ended by {error!r}; restart the service to send them"
        if failure is None:
            return None
        lost = self._reader.lost - self._lost_before
        forgotten = f"; {lost} were forgotten meanwhile, and never will be (predictions.keep)" if lost else ""
        return f"predictions are not sent {self._why}: {failure}{forgotten}"

    def figures(self) -> dict[str, int]:
        """Predictions sent since the start, waiting to be sent, forgotten unsent, and too large to be learnt."""
        unsent, lost = self._reader.unsent, self._reader.lost
        return {"relayed": self.relayed, "unsent": unsent, "lost": lost, "too_large": self.too_large}

    def start(self) -> None:
        """Begin to send, within a running loop."""
        self._sending.start()

    async def close(self) -> None:
        """Stop sending; the topic stays open. Raises nothing: what ended it before is told by `problem`."""
        await self._sending.end()

    async def _run(self) -> None:
        pause_s = IDLE_S
        while True:
            after, predictions = self._reader.to_send(AT_ONCE, AT_ONCE_BYTES)
            if after is None:
                await asyncio.sleep(IDLE_S)
            elif await self._is_sent(predictions):
                self._reader.sent(after)
                pause_s = IDLE_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_WAIT_S)

    async def _is_sent(self, predictions: list[Logged]) -> bool:
        records = [(logged.id.encode(), self._record_of(logged)) for logged in predictions]
        fitting = [(key, record) for key, record in records if len(record) <= self._max_bytes]
        try:
            await self._topic.append([record for _, record in fitting], [key for key, _ in fitting])
        except SourceError as error:
            if self._failure is None:
                log.warning("predictions wait to be sent: %s", error)
            self._failure = str(error)
            return False
        if self._failure is not None:
            log.warning("predictions are sent again; forgotten unsent so far: %d", self._reader.lost)
        self._failure, self._lost_before = None, self._reader.lost
        self.relayed += len(fitting)
        self.too_large += len(records) - len(fitting)
        return True
