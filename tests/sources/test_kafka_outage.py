"""The broker is killed, stopped, gone: what was acknowledged is there, nothing is read twice, and all goes on after."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import pytest
from kafka_broker import new_source, tasks_left
from source_reading import payloads_of, read_until_idle

from stream_app.sources.kafka import KafkaSource
from stream_app.sources.source import Records, SourceError, SourceFull
from tools.kafka import Broker

WAIT_S = 3.0
"""All that is waited for in vain takes so long. A loaded machine may need longer for what succeeds: then again."""


class Appends:
    """What a source has acknowledged, and how many records of calls that it refused may be there as well."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source
        self.given: list[tuple[list[bytes], dict[int, range]]] = []
        self.doubtful = 0

    async def is_taken(self, payloads: list[bytes]) -> bool:
        try:
            self.given.append((payloads, await self._source.append(payloads)))
        except SourceFull:
            self.doubtful += len(payloads)
            return False
        return True

    async def add(self, payloads: list[bytes]) -> dict[int, range]:
        """Until they are taken; where they are."""
        while not await self.is_taken(payloads):
            pass
        return self.given[-1][1]

    def are_read(self, batches: list[Records]) -> bool:
        read = {records.partition: records.offset + len(records.payloads) for records in batches}
        return all(read.get(part, 0) >= span.stop for _, offsets in self.given for part, span in offsets.items())


@contextmanager
def hanging(broker: Broker) -> Iterator[None]:
    """It takes connections and answers nothing."""
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our sources logged, without the name of the topic."""
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("stream_app.")]
    return [message.partition("/test-")[2].partition(": ")[2] for message in ours]


async def test_reading_and_appending_go_on_after_the_broker_was_killed(
    own_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    source = new_source(own_broker.servers, 2, client={"fetch_max_wait_ms": 100}, timeout_s=WAIT_S)
    appends = Appends(source)
    with caplog.at_level(logging.INFO, "stream_app.sources"):
        for number in range(6):
            await appends.add([b"%d" % number] * 20)
        async with aclosing(source.read({}, [], 7)) as reading:
            found = [await anext(reading) for _ in range(4)]
            own_broker.kill()
            while source.problem is None:
                found.append(await anext(reading))
            with pytest.raises(SourceFull, match="may still land; try again later"):
                await source.append([b"lost"])
            with pytest.raises(SourceFull, match="nothing was appended; try again later"):
                await source.append([b"lost"])
            appends.doubtful += 1
            own_broker.start()
            while not await appends.is_taken([b"after"] * 20):
                found.append(await anext(reading))
            while not appends.are_read(found) or source.problem is not None:
                found.append(await anext(reading))
    records = payloads_of(found)
    for payloads, offsets in appends.given:
        ((partition, span),) = offsets.items()
        assert records[partition][span.start : span.stop] == payloads
    assert 140 <= sum(map(len, records.values())) <= 140 + appends.doubtful
    told = [message.partition(",")[0] for message in said(caplog)]
    assert told == ["no answer", "back"] * (len(told) // 2)
    await source.close()
    assert tasks_left() == []


async def test_an_append_to_a_broker_that_hangs_fails_in_time_and_may_land_but_is_not_claimed(
    own_broker: Broker,
) -> None:
    source = new_source(own_broker.servers, 1, timeout_s=WAIT_S)
    appends = Appends(source)
    await appends.add([b"before"])
    expected = f"may still land; try again later, ids tell repeats: no answer within {WAIT_S:g} s"
    with hanging(own_broker), pytest.raises(SourceFull, match=expected):
        await source.append([b"doubtful"])
    await appends.add([b"again"])
    records = payloads_of(await read_until_idle(source, {}))[0]
    assert [records[offsets[0].start : offsets[0].stop] for _, offsets in appends.given] == [[b"before"], [b"again"]]
    assert records.count(b"doubtful") <= 1
    assert len(records) <= 3 + appends.doubtful
    await source.close()
    assert tasks_left() == []


async def test_closing_does_not_wait_for_a_broker_that_hangs(own_broker: Broker) -> None:
    source = new_source(own_broker.servers, 1, timeout_s=WAIT_S)
    await Appends(source).add([b"a"])
    reading = source.read({})
    while not (found := (await anext(reading)).payloads):
        pass
    assert found[0] == b"a"
    with hanging(own_broker):
        await source.close()
        assert [records async for records in reading] == []
        with pytest.raises(SourceError, match="closed"):
            await source.append([b"b"])
    assert tasks_left() == []


async def test_reading_does_not_begin_without_an_answer(own_broker: Broker) -> None:
    source = new_source(own_broker.servers, 1, timeout_s=WAIT_S)
    with hanging(own_broker), pytest.raises(SourceError, match=f"cannot be read: no answer within {WAIT_S:g} s"):
        await anext(source.read({}))
    await source.close()
    assert tasks_left() == []


async def test_a_client_asks_a_broker_that_was_stopped_only_now_and_then(own_broker: Broker) -> None:
    source = new_source(own_broker.servers, 1, timeout_s=WAIT_S)
    await Appends(source).add([b"a"])
    async with aclosing(source.read({})) as reading:
        await anext(reading)
        (reader,) = source._readers
        own_broker.stop()
        try:
            updates, began = 0, time.monotonic()
            while time.monotonic() < began + 1.0:  # as aiokafka's consumer does where no partition has a leader
                await reader._consumer._client.force_metadata_update()
                updates += 1
        finally:
            own_broker.start()
    assert updates < 10
    await source.close()
