"""Predictions reach their topic, in order, at least once, over restarts and outages."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from join_process import Topics
from kafka_broker import tasks_left
from kafka_services import started
from weir_process import Weir, closing, wait_for

from stream_app.elsewhere import is_to_be_joined
from stream_app.prediction_log import Kept, PredictionLog
from stream_app.relay import Relay
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import SourceFull
from tools.kafka import Broker


class Topic(MemorySource):
    """A topic in memory that can be away."""

    is_away = False
    breaks = False

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[bytes | None, bytes]] = []

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        if self.breaks:
            raise RuntimeError("broken")
        if self.is_away:
            raise SourceFull("away")
        self.records += zip(keys or [None] * len(payloads), payloads, strict=True)
        return await super().append(payloads, keys)


def joining(log: PredictionLog, topic: Topic) -> Relay:
    """As a service with `[join]` has it."""
    reader = log.reader("join", lambda logged: is_to_be_joined(log, logged))
    return Relay(reader, topic, 1000, lambda logged: logged.payload, "to be joined")


def put(log: PredictionLog, numbers: range) -> list[tuple[bytes, bytes]]:
    for number in numbers:
        log.put(f"e{number}", f"payload {number}".encode())
    return [(f"e{number}".encode(), f"payload {number}".encode()) for number in numbers]


async def until(condition: Callable[[], bool]) -> None:
    """Let the relay run until the condition holds."""
    async with asyncio.timeout(240):
        while not condition():  # noqa: ASYNC110 what it waits for is a figure
            await asyncio.sleep(0.001)


async def test_predictions_are_sent_in_order_with_their_ids_and_a_restart_goes_on(tmp_path: Path) -> None:
    topic, sent = Topic(), []
    for first in (0, 1000):
        log = PredictionLog(tmp_path, Kept(10_000, 1e9))
        sent += put(log, range(first, first + 1000))
        relay = joining(log, topic)
        relay.start()
        await until(lambda relay=relay: relay.figures()["unsent"] == 0)
        await relay.close()
        assert (relay.relayed, relay.problem) == (1000, None)
        log.close()
    assert topic.records == sent
    assert tasks_left() == []


async def test_a_topic_that_is_away_delays_and_loses_nothing(tmp_path: Path) -> None:
    topic, log = Topic(), PredictionLog(tmp_path, Kept(10_000, 1e9))
    topic.is_away = True
    relay = joining(log, topic)
    relay.start()
    sent = put(log, range(300))
    await until(lambda: relay.problem is not None)
    assert topic.records == []
    assert "away" in str(relay.problem)
    topic.is_away = False
    await until(lambda: relay.figures()["unsent"] == 0)
    await relay.close()
    assert topic.records == sent
    assert relay.problem is None
    log.close()


async def test_an_error_that_nobody_foresaw_is_told_and_closing_does_not_raise_it(tmp_path: Path) -> None:
    topic, log = Topic(), PredictionLog(tmp_path, Kept(10, 1e9))
    topic.breaks = True
    relay = joining(log, topic)
    relay.start()
    put(log, range(3))
    await until(lambda: relay.problem is not None)
    assert "ended by RuntimeError('broken')" in str(relay.problem)
    await relay.close()
    assert relay.figures()["unsent"] == 3
    log.close()
    assert tasks_left() == []


async def test_what_is_forgotten_before_it_was_sent_is_counted_and_told(tmp_path: Path) -> None:
    topic, log = Topic(), PredictionLog(tmp_path, Kept(10, 1e9))
    topic.is_away = True
    relay = joining(log, topic)
    relay.start()
    put(log, range(50))
    lost = 50 - len(log)
    await until(lambda: f"{lost} were forgotten" in str(relay.problem))
    topic.is_away = False
    await until(lambda: relay.figures()["unsent"] == 0)
    await relay.close()
    assert (len(topic.records), relay.figures()["lost"], relay.problem) == (50 - lost, lost, None)
    log.close()
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    assert joining(log, topic).figures()["lost"] == lost
    log.close()


async def test_what_was_replaced_or_labelled_or_is_too_large_is_not_sent(tmp_path: Path) -> None:
    topic, log = Topic(), PredictionLog(tmp_path, Kept(10, 1e9))
    for event_id, payload in [("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"x" * 1001)]:
        log.put(event_id, payload)
    event = log.get("b")
    assert event is not None
    log.labelled(event, 1)
    relay = joining(log, topic)
    relay.start()
    await until(lambda: relay.figures()["unsent"] == 0)
    await relay.close()
    assert topic.records == [(b"a", b"3")]
    assert (relay.figures()["too_large"], relay.figures()["lost"]) == (1, 0)
    log.close()


async def test_numbers_go_on_after_all_was_forgotten(tmp_path: Path) -> None:
    topic, log = Topic(), PredictionLog(tmp_path, Kept(10, -1.0))
    reader = log.reader("join", lambda logged: True)
    put(log, range(5))
    reader.sent(5)
    put(log, range(5, 9))
    assert len(log) == 0
    reader.sent(9)
    log.close()
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    sent = put(log, range(20, 23))
    relay = joining(log, topic)
    relay.start()
    await until(lambda: relay.figures()["unsent"] == 0)
    await relay.close()
    assert topic.records == sent
    log.close()


async def test_predictions_survive_outage_and_kill_and_labels_wait_for_the_broker(
    own_broker: Broker, tmp_path: Path
) -> None:
    topics = Topics(own_broker.servers)
    settings = topics.settings()
    settings["source"] = {**settings["source"], "timeout_s": 4.0}
    service = Weir(tmp_path, **settings)
    with closing(service):
        started(service)
        wait_for(lambda: service.post("/events", {"id": "first", "label": 1, "features": {"n": 1}}).status == 202)
        service.wait_learnt(1)
        own_broker.kill()
        try:
            for number in range(100):
                event = {"id": f"e{number}", "features": {"n": number}}
                assert service.post("/predict", event).status == 200
            answer = service.post("/labels", {"id": "e1", "label": 1})
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            wait_for(lambda: "predictions are not sent" in str(service.get("/health/ready").body["warnings"]))
            service.kill()
        finally:
            own_broker.start()
        started(service)
        wait_for(lambda: service.status()["join"]["unsent"] == 0)
        wait_for(lambda: service.post("/labels", {"id": "e1", "label": 1}).status == 202)
        wait_for(lambda: service.get("/health/ready").status == 200)
        assert service.stop() == 0
    sent = await topics.records("predictions")
    assert {json.loads(payload)["id"] for payload in sent} == {f"e{number}" for number in range(100)}
    assert set(await topics.records("labels")) == {b'{"id":"e1","label":1}'}
