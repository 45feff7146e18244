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

from stream_app.sources.source import SourceError, SourceFull
from tools.kafka import Broker

WAIT_S = 3.0
"""Enough to open and create a topic on a loaded machine; all that is waited for in vain takes so long."""


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
    given = [await source.append([b"%d" % number] * 20) for number in range(6)]
    with caplog.at_level(logging.INFO, "stream_app.sources"):
        async with aclosing(source.read({}, [], 7)) as reading:
            found = [await anext(reading) for _ in range(4)]
            own_broker.kill()
            while not said(caplog):
                found.append(await anext(reading))
            with pytest.raises(SourceFull, match="may still land; try again later"):
                await source.append([b"lost"])
            with pytest.raises(SourceFull, match="nothing was appended; try again later"):
                await source.append([b"lost"])
            own_broker.start()
            while True:
                try:
                    given.append(await source.append([b"after"] * 20))
                    break
                except SourceFull:
                    found.append(await anext(reading))
            while sum(len(records.payloads) for records in found) < 140:
                found.append(await anext(reading))
    records = payloads_of(found)
    assert sum(map(len, records.values())) == 140
    for number, (offsets,) in enumerate(call.items() for call in given):
        partition, span = offsets
        assert records[partition][span.start : span.stop] == [b"after" if number == 6 else b"%d" % number] * 20
    assert [message.partition(",")[0] for message in said(caplog)] == ["no answer", "back"]
    await source.close()
    assert tasks_left() == []


async def test_an_append_to_a_broker_that_hangs_fails_in_time_and_may_land_but_is_not_claimed(
    own_broker: Broker,
) -> None:
    source = new_source(own_broker.servers, 1, timeout_s=WAIT_S)
    assert await source.append([b"before"]) == {0: range(1)}
    expected = f"may still land; try again later, ids tell repeats: no answer within {WAIT_S:g} s"
    with hanging(own_broker), pytest.raises(SourceFull, match=expected):
        await source.append([b"doubtful"])
    while True:
        try:
            ((partition, span),) = (await source.append([b"again"])).items()
            break
        except SourceFull:
            continue
    records = payloads_of(await read_until_idle(source, {}))[0]
    assert records[0] == b"before"
    assert partition == 0
    assert records[span.start : span.stop] == [b"again"]
    assert records.count(b"doubtful") <= 1
    await source.close()
    assert tasks_left() == []


async def test_closing_does_not_wait_for_a_broker_that_hangs(own_broker: Broker) -> None:
    source = new_source(own_broker.servers, 1, timeout_s=WAIT_S)
    await source.append([b"a"])
    reading = source.read({})
    while not (found := (await anext(reading)).payloads):
        pass
    assert found == [b"a"]
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
    await source.append([b"a"])
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
