"""The stretch of the stream learnt since a checkpoint: its order, count, rolling hash, trail and event times."""

import hashlib
from collections.abc import Sequence

import msgspec

from checkpoints.manifest import Stretch
from formats.example import Example, times_of
from stream_app.sources.source import Order, Records
from stream_app.trail import Trail


class OpenStretch:
    """Grows with every micro-batch learnt after `parent`.

    The hash is sha256 over the learnt records, each followed by a line feed: `sha256sum` over the same lines gives it.
    """

    def __init__(self, parent: str | None) -> None:
        self.parent = parent
        self.order: Order = []
        self._trail = Trail()
        self._records = 0
        self._examples = 0
        self._sha256 = hashlib.sha256()
        self._first_time_s: float | None = None
        self._last_time_s: float | None = None

    def add(self, records: Records, payloads: Sequence[bytes], examples: Sequence[Example]) -> None:
        """`records` were passed; of them, `payloads` were to be learnt and gave `examples`."""
        n = len(records.payloads)
        self._records += n
        self._examples += len(examples)
        self._sha256.update(b"\n".join([*payloads, b""]))
        self._trail.add(payloads)
        if self.order and self.order[-1][0] == records.partition:
            self.order[-1] = (records.partition, self.order[-1][1] + n)
        elif n:
            self.order.append((records.partition, n))
        times = [time_s for time_s in times_of(examples) if time_s is not None]
        if times:
            first, last = min(times), max(times)
            self._first_time_s = first if self._first_time_s is None else min(self._first_time_s, first)
            self._last_time_s = last if self._last_time_s is None else max(self._last_time_s, last)

    def blobs(self) -> dict[str, bytes]:
        """What a checkpoint at its end says of its records one by one: the order of partitions, and the trail."""
        return {"order": msgspec.msgpack.encode(self.order), "trail": self._trail.state()}

    def closed(self) -> Stretch:
        """As the manifest of the checkpoint at its end says it."""
        return Stretch(
            records=self._records,
            examples=self._examples,
            sha256=self._sha256.hexdigest(),
            first_time_s=self._first_time_s,
            last_time_s=self._last_time_s,
        )
