"""The broker goes away and comes back, forgets what was not learnt, brings poison: the service as seen from outside."""

import itertools
import json
import urllib.request
from pathlib import Path

from aiokafka.admin import NewPartitions
from kafka_broker import administering, delete_records, new_place
from kafka_services import QUICK, learner_of, learnt_from_a_log, lineage_of, on_topic, records_in, started
from weir_process import Weir, closing, synthetic, wait_for

from stream_app.sources.kafka import KafkaSource
from tools.kafka import Broker

EVENT = {"label": 1, "features": {"a": 1}}


async def append(place: str, payloads: list[bytes], partitions: int, each: int = 100) -> dict[int, int]:
    """Put raw records into the topic, some to each partition in turn: nobody checks them. Where each partition ends."""
    source = KafkaSource(place, partitions=partitions)
    try:
        for first in range(0, len(payloads), each):
            await source.append(payloads[first : first + each])
        return source.end()
    finally:
        await source.close()


def warnings(service: Weir) -> list[str]:
    """What a service that is ready warns of."""
    answer = service.get("/health/ready")
    assert (answer.status, answer.body["problems"]) == (200, [])
    return list(answer.body["warnings"])


def test_while_the_broker_is_away_it_serves_and_says_so_and_afterwards_nothing_is_missing(
    own_broker: Broker, tmp_path: Path
) -> None:
    place = new_place(own_broker.servers)
    service = Weir(tmp_path / "a", **on_topic(place, 2, source={"timeout_s": 4.0}))
    sent, doubtful = 0, 0
    with closing(service):
        learner_of([started(service)])
        for event in synthetic(600):
            is_sent = service.post("/events", event).status == 202
            sent, doubtful = sent + is_sent, doubtful + (not is_sent)
        service.wait_learnt(sent)
        own_broker.kill()
        try:
            refused = service.post("/events", synthetic(1, first=1000)[0])
            assert (refused.status, refused.body["error"]["code"]) == (503, "source_full")
            assert int(refused.headers["Retry-After"]) >= 1
            wait_for(lambda: any("no answer" in said for said in warnings(service)))
            assert service.post("/predict", EVENT).status == 200
            with urllib.request.urlopen(f"{service.url}/metrics") as metrics:
                assert b"weir_source_up 0.0" in metrics.read()
        finally:
            own_broker.start()
        wait_for(lambda: not warnings(service))
        tries = (service.post("/events", synthetic(1, first=number)[0]).status for number in itertools.count(1001))
        doubtful += 1 + sum(1 for _ in itertools.takewhile(lambda status: status != 202, tries))
        status = wait_for(service.status, lambda status: (status["role"], status["lag"]) == ("learner", 0))
        assert status["duplicates"] == 0
        assert sent + 1 <= status["examples"] <= sent + 1 + doubtful, "what was not acknowledged may have landed once"
        assert service.stop() == 0


async def test_a_broker_killed_in_the_middle_of_a_backlog_changes_no_byte(own_broker: Broker, tmp_path: Path) -> None:
    place = new_place(own_broker.servers)
    few = {"max_partition_fetch_bytes": 20_000, "fetch_max_wait_ms": 100}
    service = Weir(tmp_path / "a", **on_topic(place, 3, source={"batch": 7, "kafka": few}))
    sent = 0
    with closing(service):
        while True:
            await append(place, synthetic(20_000, first=sent), 3)
            sent += 20_000
            service.start()
            wait_for(lambda sent=sent: service.status()["records"] > sent - 17_000)
            own_broker.kill()
            is_in_the_middle = service.status()["records"] < sent
            own_broker.start()
            status = service.wait_learnt(sent)
            assert (status["examples"], status["duplicates"]) == (sent, 0)
            assert service.stop() == 0
            if is_in_the_middle:
                break  # else the machine let the service learn all while this test waited for its turn
    assert service.deciding() == await learnt_from_a_log(service, place, tmp_path / "log", checkpoints={"keep": 1000})


async def test_what_retention_took_ends_the_service_and_is_passed_over_only_on_request(
    kafka: str, tmp_path: Path
) -> None:
    place = new_place(kafka)
    service = Weir(tmp_path / "a", **on_topic(place, 2))
    with closing(service):
        ends = await append(place, synthetic(400), 2)
        service.start().wait_learnt(400)
        assert service.stop() == 0
        await append(place, synthetic(400, first=400), 2)
        await delete_records(kafka, place, {0: ends[0] + 50})
        ran = service.command("serve", "--port", "0")
        assert ran.code == 2
        said = ran.err.splitlines()[-1]
        assert f"offsets {ends[0]} to {ends[0] + 49} of partition 0 are no longer kept" in said
        assert "50 records would never be learnt" in said
        assert "--accept-loss" in said
        status = service.start("--accept-loss").wait_learnt(800)
        assert (status["examples"], status["duplicates"]) == (750, 0)
        assert service.stop() == 0
        holes = [(hole.partition, hole.first, hole.last, hole.why) for hole in service.manifest().holes]
        assert holes == [(0, ends[0], ends[0] + 50, "the source no longer had them, accepted by --accept-loss")]
        assert service.start().wait_learnt(800)["examples"] == 750


async def test_poison_in_every_partition_is_kept_with_its_place_and_the_rest_is_learnt(
    kafka: str, tmp_path: Path
) -> None:
    place, partitions = new_place(kafka), 4
    bad = [b"\xff\x00", b'{"label": "x", "features": {}}', b"", b'{"label": 1, "features": {"a": 1e400}}']
    good = synthetic(4000)
    records = [payload for first in range(0, 4000, 50) for payload in [*good[first : first + 50], bad[first // 50 % 4]]]
    service = Weir(tmp_path / "a", **on_topic(place, partitions))
    await append(place, records, partitions, each=51)
    with closing(service):
        status = service.start().wait_learnt(len(records))
        letters = service.get("/dead-letters?limit=1000").body["latest"]
        assert (status["examples"], status["dead_letters"], len(letters)) == (4000, 80, 80)
        assert {letter["partition"] for letter in letters} == set(range(partitions))
        for partition in range(partitions):
            kept = await records_in(place, [(partition, len(records) // partitions)])
            for letter in letters:
                if letter["partition"] == partition:
                    assert kept[letter["offset"]] in bad
        assert service.stop() == 0


async def test_envelopes_are_learnt_whole_and_count_as_one_record(kafka: str, tmp_path: Path) -> None:
    place = new_place(kafka)
    events = synthetic(300)
    lines = [b"\n".join(events[first : first + 30]) for first in range(0, 150, 30)]
    arrays = [b"[" + b",".join(events[first : first + 30]) + b"]" for first in range(150, 300, 30)]
    service = Weir(tmp_path / "a", **on_topic(place, 2))
    await append(place, [*lines, *arrays, b"[" + events[0] + b', {"label": "x"}]'], 2, each=1)
    with closing(service):
        status = service.start().wait_learnt(11)
        assert (status["records"], status["examples"], status["dead_letters"]) == (11, 300, 1)


async def test_after_a_backfill_no_order_of_several_partitions_has_been_lost(kafka: str, tmp_path: Path) -> None:
    place = new_place(kafka)
    service = Weir(tmp_path / "a", **on_topic(place, 2))
    await append(place, synthetic(200, first=100), 2, each=7)
    (tmp_path / "history.jsonl").write_bytes(b"\n".join(synthetic(100)))
    ran = service.command("train", str(tmp_path / "history.jsonl"), "--backfill", "--json")
    assert (ran.code, json.loads(ran.out)["examples"]) == (0, 100), ran
    with closing(service):
        assert service.start().wait_learnt(200)["examples"] == 300
        assert service.stop() == 0
    assert service.manifest().order_lost_at is None


async def test_rolled_back_and_killed_while_it_learns_again_it_ends_in_the_bytes_of_the_order_recorded(
    kafka: str, tmp_path: Path
) -> None:
    place = new_place(kafka)
    service = Weir(tmp_path / "a", **on_topic(place, 3, source={"batch": 3}))
    await append(place, synthetic(3000), 3, each=17)
    with closing(service):
        service.start().wait_learnt(3000)
        taken = service.checkpoint()
        await append(place, synthetic(6000, first=3000), 3, each=17)
        service.wait_learnt(9000)
        records = 9000
        while records == 9000:  # all may be learnt again while this test waits for its turn
            recorded = service.rollback(taken, "--replay")
            records = wait_for(lambda: service.status()["records"], lambda records: records > 4000)
        service.kill()
        status = service.start().wait_learnt(9000)
        assert (status["examples"], status["duplicates"]) == (9000, 0)
        assert service.stop() == 0
    assert recorded in lineage_of(service)
    assert service.manifest().order_lost_at is None
    assert service.deciding() == await learnt_from_a_log(service, place, tmp_path / "log", checkpoints={"keep": 1000})


async def test_a_rollback_without_a_running_service_is_taken_over_by_the_next(kafka: str, tmp_path: Path) -> None:
    place = new_place(kafka)
    service = Weir(tmp_path / "a", **on_topic(place, 2))
    await append(place, synthetic(1000), 2, each=17)
    with closing(service):
        service.start().wait_learnt(1000)
        taken = service.checkpoint()
        await append(place, synthetic(500, first=1000), 2, each=17)
        service.wait_learnt(1500)
        assert service.stop() == 0
        service.rollback(taken, "--replay")
        assert service.manifest().position == service.manifest(taken).position
        assert service.start().wait_learnt(1500)["examples"] == 1500
        assert service.stop() == 0
    assert service.manifest().order_lost_at is None
    assert service.deciding() == await learnt_from_a_log(service, place, tmp_path / "log", checkpoints={"keep": 1000})


async def test_what_a_partition_loses_before_anything_of_it_was_learnt_is_missed_as_well(
    kafka: str, tmp_path: Path
) -> None:
    place = new_place(kafka)
    service = Weir(tmp_path / "a", **on_topic(place, 2))
    with closing(service):
        await append(place, synthetic(100), 2, each=100)
        service.start().wait_learnt(100)
        assert service.stop() == 0
        assert service.manifest().position == {0: 100, 1: 0}
        for _ in range(2):
            await append(place, synthetic(100, first=100), 2, each=50)
        await delete_records(kafka, place, {1: 30})
        ran = service.command("serve", "--port", "0")
        assert (ran.code, "offsets 0 to 29 of partition 1" in ran.err) == (2, True), ran


async def test_partitions_added_while_it_runs_are_learnt_from(kafka: str, tmp_path: Path) -> None:
    place = new_place(kafka)
    settings = on_topic(place, 1, source={"kafka": {**QUICK, "metadata_max_age_ms": 300}})
    service = Weir(tmp_path / "a", **settings)
    with closing(service):
        service.start()
        assert service.post("/events", b"\n".join(synthetic(50))).status == 202
        service.wait_learnt(50)
        async with administering(kafka) as admin:
            await admin.create_partitions({place.rpartition("/")[2]: NewPartitions(total_count=3)})
        source = KafkaSource(place)
        while len(source.end()) < 3:
            await source.look()
        for first in range(50, 200, 50):
            await source.append(synthetic(50, first=first))
        await source.close()
        assert service.wait_learnt(200)["examples"] == 200
        assert set(service.status()["position"]) == {"0", "1", "2"}
        assert service.stop() == 0
    assert service.manifest().order_lost_at is None
