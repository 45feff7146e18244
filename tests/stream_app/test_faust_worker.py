"""`weir worker` against a real broker: the label join across machines, killed, moved, misused."""

import itertools
import json
import random
from pathlib import Path

import pytest
from join_process import (
    PARTITIONS,
    StoppingWorker,
    Topics,
    UnluckyWorker,
    Worker,
    fields_of,
    label_of,
    unlabelled,
    worker,
)
from kafka_broker import PASSWORD, delete_records
from kafka_services import learner_of, order_learnt, records_in
from weir_process import Weir, append, closing, synthetic, wait_for

from stream_app.join_topics import MOST_RECORDS
from tools.kafka import Broker

MANY = 100_000

SELDOM = {"every_s": 1_000}
"""Checkpoints, where one more than at the end would change what is counted."""

CALM = {"session_timeout_ms": 15_000, "heartbeat_interval_ms": 1_000}
"""Where a member that is missed for another reason than the test's would change what comes out."""


def shuffled(events: list[bytes], chance: random.Random) -> list[tuple[str, tuple[bytes, bytes]]]:
    """Predictions in order, each label from a little before its prediction to long after it, some of them twice."""
    placed = [(float(place), "predictions", unlabelled(event)) for place, event in enumerate(events)]
    for place, event in enumerate(events):
        for _ in range(1 + (chance.random() < 0.05)):
            placed.append((place + chance.uniform(-500, 20_000), "labels", label_of(event)))
    placed.sort(key=lambda record: record[0])
    return [(topic, record) for _, topic, record in placed]


async def send(topics: Topics, records: list[tuple[str, tuple[bytes, bytes]]], each: int = 2000) -> None:
    """Append records to two topics, about in this order."""
    sources = {name: topics.source(name) for name in ("predictions", "labels")}
    for first in range(0, len(records), each):
        for name, source in sources.items():
            some = [record for topic, record in records[first : first + each] if topic == name]
            await source.append([value for _, value in some], [key for key, _ in some])
    for source in sources.values():
        await source.close()


async def test_killed_twice_it_learns_every_label_once_with_the_features_of_its_prediction(
    kafka: str, tmp_path: Path
) -> None:
    topics, chance = Topics(kafka), random.Random(6)
    settings = {"checkpoints": {"every_events": 5000, "keep": 1000}, "events": {"dedupe_window": 50_000}}
    events = synthetic(MANY)
    service = worker(tmp_path / "worker", topics, **settings)
    with closing(service):
        service.start()
        await send(topics, shuffled(events, chance))
        for number in range(2):
            least = int(MANY * (0.1 + 0.4 * number + 0.2 * chance.random()))
            service.wait_examples(least)
            service.kill()
            service.start()
        service.wait_examples(MANY)
        status = service.wait_joined(waiting=0, waiting_labels=0)
        assert service.stop() == 0
    assert (status["examples"], status["dead_letters"]) == (MANY, 0)
    written = await topics.records("events")
    assert len(written) == MANY + status["duplicates"]
    assert fields_of(written) == fields_of(events)
    assert await topics.records("dead_letters") == []
    other = Weir(tmp_path / "replayed", **settings)
    await append(other.log, await records_in(topics.place("events"), order_learnt(service)))
    with closing(other):
        other.start().wait_learnt(len(written))
        assert other.stop() == 0
    assert service.deciding() == other.deciding()


async def test_a_worker_that_is_killed_leaves_its_predictions_and_its_model_to_another_machine(
    own_broker: Broker, tmp_path: Path
) -> None:
    topics, events = Topics(own_broker.servers), synthetic(2000)
    settings = topics.settings()
    settings["source"] = {**settings["source"], "kafka": CALM}
    first, second, third = (
        Worker(tmp_path / name, **settings, checkpoints={"url": str(tmp_path / "shared")})
        for name in ("first", "second", "third")
    )
    with closing(first, second, third):
        first.start().wait_joining()
        second.start()
        wait_for(lambda: first.joined()["partitions"] == second.joined()["partitions"] == 2)
        await topics.append("predictions", [unlabelled(event) for event in events])
        wait_for(lambda: first.joined()["waiting"] + second.joined()["waiting"] == 2000)
        held = first.joined()["waiting"]
        assert 0 < held < 2000
        await topics.append("labels", [label_of(event) for event in events[:1000]])
        learner_of([first, second]).wait_learnt(1000)
        first.kill()
        third.start().wait_joining()
        await topics.append("labels", [label_of(event) for event in events])
        wait_for(lambda: third.joined()["joined"])  # before its table is restored, nothing of it seems to wait
        wait_for(lambda: second.joined()["waiting"] + third.joined()["waiting"] == 0)
        wait_for(lambda: second.joined()["duplicates"] + third.joined()["duplicates"] >= 1000)
        assert learner_of([second, third]).wait_learnt(2000)["examples"] == 2000
        assert third.stop() == second.stop() == 0
    written = await topics.records("events")
    assert len(written) == 2000
    assert fields_of(written) == fields_of(events)


@pytest.mark.parametrize("what", ["slow_to_join", "slow_to_answer"])
async def test_a_worker_that_goes_back_to_what_is_committed_while_partitions_are_shared_out_keeps_to_its_own(
    what: str, kafka: str, tmp_path: Path
) -> None:
    topics, events = Topics(kafka), synthetic(200)
    settings = topics.settings()
    settings |= {"checkpoints": {"url": str(tmp_path / "shared")}}
    first, second = UnluckyWorker(tmp_path / "first", what, **settings), Worker(tmp_path / "second", **settings)
    with closing(first, second):
        first.start().wait_joining()
        await topics.append("predictions", [unlabelled(event) for event in events[:100]])
        wait_for(lambda: first.joined()["waiting"] == 100)
        second.start()
        wait_for(lambda: first.joined()["partitions"] == second.joined()["partitions"] == 2)
        await topics.append("predictions", [unlabelled(event) for event in events[100:]])
        await topics.append("labels", [label_of(event) for event in events])
        wait_for(lambda: first.joined()["joined"] + second.joined()["joined"] == 200)
        learner_of([first, second]).wait_learnt(200)
        assert first.stop() == second.stop() == 0
    assert fields_of(await topics.records("events")) == fields_of(events)


async def test_a_worker_that_gets_no_answer_in_time_when_it_restores_its_state_asks_again_and_says_so(
    kafka: str, tmp_path: Path
) -> None:
    topics, events = Topics(kafka), synthetic(50)
    service = UnluckyWorker(tmp_path, "answers_too_late", **topics.settings())
    with closing(service):
        service.start().wait_joining()
        wait_for(lambda: "cannot be restored yet: no answer in time" in str(service.status()["warnings"]))
        await topics.append("predictions", [unlabelled(event) for event in events])
        await topics.append("labels", [label_of(event) for event in events])
        assert service.wait_joined(joined=50)["warnings"] == []
        assert service.stop() == 0


@pytest.mark.parametrize("topic", ["-events", "-changelog"])
async def test_a_worker_that_was_stopped_and_missed_writes_nothing_when_it_wakes(
    topic: str, kafka: str, tmp_path: Path
) -> None:
    topics, events = Topics(kafka), synthetic(6000)
    settings = topics.settings()
    settings |= {
        "source": {**settings["source"], "kafka": CALM},
        "checkpoints": {"url": str(tmp_path / "shared")},
    }
    first, second = StoppingWorker(tmp_path / "first", topic, **settings), Worker(tmp_path / "second", **settings)
    with closing(first, second):
        first.start().wait_joining()
        second.start()
        wait_for(lambda: first.joined()["partitions"] == second.joined()["partitions"] == 2)
        await topics.append("predictions", [unlabelled(event) for event in events])
        await topics.append("labels", [label_of(event) for event in events])
        first.wait_stopped()
        second.wait_learnt(len(events))
        second.wait_joined(partitions=PARTITIONS, waiting=0)
        first.wake()
        wait_for(lambda: first.joined()["partitions"] == second.joined()["partitions"] == 2)
        wait_for(lambda: first.joined()["waiting"] + second.joined()["waiting"] == 0)
    written = await topics.records("events")
    assert fields_of(written) == fields_of(events)
    assert len(written) <= len(events) + (0 if topic == "-events" else MOST_RECORDS)
    for event_id, kinds in (await topics.states()).items():
        assert kinds == sorted(kinds), event_id


async def test_what_retention_removed_before_it_was_joined_is_counted_and_told(kafka: str, tmp_path: Path) -> None:
    topics, events = Topics(kafka, partitions=1), synthetic(300)
    service = worker(tmp_path, topics).start()
    with closing(service):
        await topics.append("predictions", [unlabelled(event) for event in events])
        await topics.append("labels", [label_of(event) for event in events[:100]])
        service.wait_joined(joined=100)
        assert service.joined()["lost_records"] == 0
        assert service.stop() == 0
        await topics.append("labels", [label_of(event) for event in events[100:]])
        await delete_records(topics.servers, topics.place("labels"), {0: 250})
        service.start()
        service.wait_joined(joined=50, lost_records=150, waiting=150)
        service.stop()
        service.start("-v").wait_joined(joined=0, lost_records=0)
        assert service.stop() == 0
    assert "150 records before this were removed" in service.stderr.read_text()


async def test_what_comes_over_http_is_joined_and_learnt(kafka: str, tmp_path: Path) -> None:
    topics, events = Topics(kafka), synthetic(50)
    service = worker(tmp_path, topics, checkpoints=SELDOM).start()
    with closing(service):
        for event in events:
            assert service.post("/labels", json.loads(label_of(event)[1])).status == 202
        assert service.post("/predict", [json.loads(unlabelled(event)[1]) for event in events]).status == 200
        status = service.wait_joined(joined=50, relayed=50, unsent=0)
        assert (status["examples"], status["labels"]) == (50, 50)
        wait_for(lambda: service.get("/health/ready").status == 200)
        assert 'weir_join{figure="joined"} 50.0' in service.metrics()
        assert service.stop() == 0
    assert fields_of(await topics.records("events")) == fields_of(events)
    assert service.manifest().since_parent.records == 50


async def test_it_says_its_password_as_the_service_does(
    own_broker: Broker, sasl_servers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, events = Topics(own_broker.servers), synthetic(20)
    settings = topics.settings()
    client = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "weir"}
    url = f"kafka://{sasl_servers}/{topics.topic('events')}"
    settings["source"] = {**settings["source"], "url": url, "kafka": client}
    monkeypatch.setenv("WEIR_SOURCE_KAFKA_PASSWORD", PASSWORD)
    service = Worker(tmp_path, **settings).start()
    with closing(service):
        await topics.append("predictions", [unlabelled(event) for event in events])
        await topics.append("labels", [label_of(event) for event in events])
        assert service.wait_joined(joined=20)["examples"] == 20
        assert service.stop() == 0


async def test_envelopes_strays_and_records_without_keys_are_joined_as_others_are(kafka: str, tmp_path: Path) -> None:
    topics, events = Topics(kafka), synthetic(400)
    predictions, labels = [unlabelled(event)[1] for event in events], [label_of(event)[1] for event in events]
    service = worker(tmp_path, topics).start()
    with closing(service):
        await topics.append(
            "labels", [(None, b"\n".join(labels[:100])), (None, b"[" + b",".join(labels[100:200]) + b"]")]
        )
        await topics.append("labels", [(None, label) for label in labels[200:]], each=10)
        await topics.append("predictions", [(None, b"\n".join(predictions[:200]))])
        await topics.append("predictions", [(None, payload) for payload in predictions[200:300]], each=10)
        await topics.append("predictions", [(None, payload) for payload in predictions[300:]], each=7)
        status = service.wait_joined(joined=400, waiting=0, waiting_labels=0)
        assert status["examples"] == 400
        assert status["join"]["forwarded"] >= 400
        assert service.stop() == 0
    assert fields_of(await topics.records("events")) == fields_of(events)


async def test_what_expires_is_late_or_makes_no_sense_is_a_dead_letter(kafka: str, tmp_path: Path) -> None:
    topics = Topics(kafka, partitions=1)
    known, orphan = synthetic(2)
    service = Worker(tmp_path, **topics.settings(wait_s=5.0)).start()
    with closing(service):
        service.wait_joining()
        await topics.append("predictions", [unlabelled(known), (b"bad", b"{")])
        await topics.append("labels", [label_of(orphan), label_of(known, "maybe"), (None, b"no label")])
        service.wait_joined(impossible_labels=1, undecodable=2)
        others = itertools.count(2)
        while service.joined()["expired_predictions"] + service.joined()["expired_labels"] < 2:
            await topics.append("predictions", [unlabelled(synthetic(1, first=next(others))[0])])
        await topics.append("labels", [label_of(known)])
        wait_for(lambda: service.joined()["late_labels"] == 1)
        assert service.joined()["joined"] == 0
        assert service.stop() == 0
    letters = [json.loads(letter) for letter in await topics.records("dead_letters")]
    reasons = {letter["reason"].split(":")[0].split(" (")[0] for letter in letters}
    assert {
        "no label within 5 s", "no prediction of this id within 5 s", "label",
        "the prediction had expired before this label came",
    } <= reasons  # fmt: skip
    assert all({"topic", "partition", "offset", "payload_base64"} <= letter.keys() for letter in letters)


async def test_a_broker_that_goes_away_and_comes_back_loses_and_repeats_nothing(
    own_broker: Broker, tmp_path: Path
) -> None:
    topics, events = Topics(own_broker.servers), synthetic(1000)
    service = worker(tmp_path, topics, checkpoints=SELDOM).start()
    with closing(service):
        service.wait_joining()
        await topics.append("predictions", [unlabelled(event) for event in events])
        await topics.append("labels", [label_of(event) for event in events[:500]])
        own_broker.kill()
        own_broker.start()
        await topics.append("labels", [label_of(event) for event in events[500:]])
        assert service.wait_learnt(1000)["examples"] == 1000
        own_broker.kill()
        try:
            assert service.stop() == 0
        finally:
            own_broker.start()
    assert service.manifest().since_parent.records == 1000
    assert fields_of(await topics.records("events")) == fields_of(events)
