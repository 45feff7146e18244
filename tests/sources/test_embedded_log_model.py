"""The embedded log against plain lists, whatever is done to it in whatever sequence."""

import asyncio
import tempfile
import zlib
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from source_reading import order_of, payloads_of, read_until_idle

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import PositionLost

T = TypeVar("T")

KEYED = st.tuples(st.binary(max_size=40), st.none() | st.sampled_from([b"", b"a", b"b", b"c"]))
CALL = st.lists(KEYED, max_size=30)


class LogAgainstLists(RuleBasedStateMachine):
    """Appends, reads, releases and restarts; retention drops what it may, and nothing else changes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.now_s = 0.0
        self.model: dict[int, list[bytes]] = {}
        self.released: dict[int, int] = {}

    @initialize(partitions=st.integers(1, 3), retain_bytes=st.none() | st.integers(0, 500))
    def create(self, partitions: int, retain_bytes: int | None) -> None:
        self.model = {partition: [] for partition in range(partitions)}
        self.retain_bytes = retain_bytes
        self.open(partitions)

    def open(self, partitions: int | None) -> None:
        path = Path(self.directory.name)
        self.log = EmbeddedLog(path, partitions=partitions, retain_bytes=self.retain_bytes, clock=lambda: self.now_s)
        self.released = {}

    def run(self, work: Coroutine[None, None, T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(calls=st.lists(CALL, min_size=1, max_size=4), is_keyed=st.booleans())
    def append_at_once(self, calls: list[list[tuple[bytes, bytes | None]]], is_keyed: bool) -> None:
        self.now_s += 1

        async def append_all() -> list[dict[int, range]]:
            return await asyncio.gather(
                *(self.log.append([p for p, _ in call], [k for _, k in call] if is_keyed else None) for call in calls)
            )

        for call, given in zip(calls, self.run(append_all()), strict=True):
            self.check_given(call, given, is_keyed)

    def check_given(self, call: list[tuple[bytes, bytes | None]], given: dict[int, range], is_keyed: bool) -> None:
        assert sum(map(len, given.values())) == len(call)
        homes = {k: zlib.crc32(k) % len(self.model) for _, k in call if is_keyed and k is not None}
        free = [partition for partition in given if partition not in homes.values()]
        keyless = [payload for payload, key in call if not is_keyed or key is None]
        for partition, offsets in given.items():
            assert offsets.start == len(self.model[partition])
            mine = {k for k, home in homes.items() if home == partition}
            keyed = [p for p, k in call if k in mine]
            if partition in free:
                assert len(offsets) == len(keyless)
            if len(offsets) == len(keyed):
                self.model[partition] += keyed
            else:
                self.model[partition] += [p for p, k in call if k in mine or not is_keyed or k is None]
            assert len(self.model[partition]) == offsets.stop

    @rule(share=st.floats(0, 1))
    def release(self, share: float) -> None:
        position = {partition: int(len(records) * share) for partition, records in self.model.items()}
        self.released = {p: max(offset, self.released.get(p, 0)) for p, offset in position.items()}
        before = self.log.start()
        self.log.release(position)
        for partition, offset in self.log.start().items():
            assert before[partition] <= offset <= max(self.released[partition], before[partition])

    @rule()
    def restart(self) -> None:
        before = self.log.start()
        self.run(self.log.close())
        self.open(None)
        assert self.log.start() == before

    @rule(shares=st.lists(st.floats(0, 1), min_size=3, max_size=3), size=st.integers(1, 50))
    def read(self, shares: list[float], size: int) -> None:
        start, end = self.log.start(), self.log.end()
        position = {p: start[p] + int((end[p] - start[p]) * shares[p]) for p in self.model}
        if position == end:
            return
        batches = self.run(read_until_idle(self.log, position, size=size))
        assert payloads_of(batches) == {p: r[position[p] :] for p, r in self.model.items() if position[p] < end[p]}
        assert all(batch.offset >= position[batch.partition] for batch in batches)
        order = order_of(batches)
        assert order_of(self.run(read_until_idle(self.log, position, size=1))) == order
        assert order_of(self.run(read_until_idle(self.log, position, list(reversed(order)), size)))[0] == order[-1]

    @rule()
    def read_before_the_start(self) -> None:
        for partition, offset in self.log.start().items():
            if offset:
                with pytest.raises(PositionLost):
                    self.run(read_until_idle(self.log, {partition: offset - 1}))

    @invariant()
    def ends_are_as_long_as_the_lists(self) -> None:
        if self.model:
            assert self.log.end() == {partition: len(records) for partition, records in self.model.items()}

    def teardown(self) -> None:
        if self.model:
            self.run(self.log.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()


TestLogAgainstLists = LogAgainstLists.TestCase
TestLogAgainstLists.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
