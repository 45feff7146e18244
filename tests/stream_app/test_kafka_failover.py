"""Several services on one topic with one checkpoint store: one learns, and whatever happens to it, another goes on."""

import fcntl
import json
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

from kafka_broker import new_place
from kafka_services import (
    Settings,
    learner_of,
    learnt_from_a_log,
    lineage_of,
    on_topic,
    role,
    sharing,
    wait_until_noted,
)
from weir_process import Weir, closing, synthetic, wait_for

from tools.kafka import Broker

SERVICES = "abc"

LASTING = {"session_timeout_ms": 15_000, "heartbeat_interval_ms": 300}
"""Nobody is missed only because it waits for a core."""


def produce(service: Weir, events: list[bytes]) -> None:
    """By the command, as users do."""
    (service.folder / "events").write_bytes(b"\n".join(events))
    url = next(line for line in service.toml.read_text().splitlines() if line.startswith("url")).split('"')[1]
    ran = service.command("produce", str(service.folder / "events"), "--to", url, "--json")
    assert (ran.code, json.loads(ran.out)["events"]) == (0, len(events)), ran


def stop_all(services: list[Weir]) -> None:
    for service in services:
        assert service.stop() == 0


def has_learnt(service: Weir, records: int) -> bool:
    return bool(service.status()["records"] > records)


def note_of(service: Weir, model_id: str) -> dict[str, object]:
    """Who saved a checkpoint, and why."""
    return dict(json.loads((service.checkpoints / "notes" / f"{model_id}.json").read_bytes()))


async def test_the_one_that_learns_is_killed_and_the_other_goes_on_byte_for_byte(
    own_broker: Broker, tmp_path: Path
) -> None:
    place = new_place(own_broker.servers)
    settings = on_topic(place, source={"kafka": LASTING})
    one, other = sharing(tmp_path, "ab", settings)
    with closing(one, other):
        one.start()
        learner_of([one])
        other.start()
        produce(one, synthetic(8000))
        wait_for(lambda: one.status()["records"] > 3000)
        wait_for(lambda: role(other) == "standby")
        wait_for(lambda: other.post("/predict", {"features": {"n": 1}}).body["model"].startswith("sha256."))
        one.kill()
        head = one.head()
        status = other.wait_learnt(8000)
        assert (status["role"], status["records"], status["duplicates"]) == ("learner", 8000, 0)
        assert head in lineage_of(other)
        assert other.stop() == 0
    assert other.manifest().order_lost_at is None
    assert other.deciding() == await learnt_from_a_log(other, place, tmp_path / "log", checkpoints={"keep": 1000})


async def test_killed_by_turns_every_event_is_learnt_once_in_the_order_recorded(
    own_broker: Broker, tmp_path: Path
) -> None:
    place = new_place(own_broker.servers)
    services = sharing(tmp_path, SERVICES, on_topic(place, 4, source={"batch": 1}))
    chance, learners = random.Random(7), []
    with closing(*services):
        for service in services:
            service.start()
        learner_of(services)
        for number in range(4):
            learner = learner_of(services)
            learnt = learner.status()["records"] + chance.randrange(2000)
            produce(services[0], synthetic(5000, first=5000 * number))
            wait_for(partial(has_learnt, learner, learnt))
            learner.kill()
            learners.append(learner.folder.name)
            others = [service for service in services if service is not learner]
            learner_of(others)
            learner.start()
        status = learner_of(services).wait_learnt(20_000)
        assert (status["records"], status["examples"], status["duplicates"]) == (20_000, 20_000, 0)
        stop_all(services)
    assert len(set(learners)) > 1
    assert services[0].manifest().order_lost_at is not None
    expected = await learnt_from_a_log(services[0], place, tmp_path / "log", checkpoints={"keep": 1000})
    assert services[0].deciding() == expected


def pause_between_saves(service: Weir) -> None:
    """SIGSTOP; not while it holds the lock of the directory that all save in, as nobody else can save there then."""
    while True:
        os.kill(service.pid, signal.SIGSTOP)
        wait_for(lambda: Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        with (service.checkpoints / "LOCK").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.kill(service.pid, signal.SIGCONT)
                time.sleep(0.003)
            else:
                return


def test_one_that_was_paused_and_taken_over_from_saves_nothing_any_more(own_broker: Broker, tmp_path: Path) -> None:
    slow = {"session_timeout_ms": 12_000, "heartbeat_interval_ms": 4000}  # it hears late that its turn is over
    settings = on_topic(
        new_place(own_broker.servers), 2, source={"kafka": slow, "batch": 5}, checkpoints={"every_events": 100}
    )
    zombie, owner = sharing(tmp_path, "ab", settings)
    with closing(zombie, owner):
        zombie.start()
        learner_of([zombie])
        owner.start()
        produce(zombie, synthetic(12_000))
        wait_for(lambda: zombie.status()["records"] > 2000)
        pause_between_saves(zombie)
        learner_of([owner])
        os.kill(zombie.pid, signal.SIGCONT)
        wait_for(lambda: role(zombie) == "standby")
        produce(owner, synthetic(3000, first=12_000))
        assert owner.wait_learnt(15_000)["records"] == 15_000
        followed = owner.checkpoint()
        wait_for(lambda: zombie.status()["model"] == followed)
        line = lineage_of(owner)
        (begun,) = (one for one in line if str(note_of(owner, one)["why"]).startswith("taken over"))
        assert {note_of(owner, one)["pid"] for one in line[line.index(begun) :]} == {owner.pid}
        assert zombie.post("/checkpoints").status == 409
        assert owner.stop() == 0
        assert wait_for(lambda: role(zombie) == "learner")
        assert zombie.status()["records"] == 15_000
        assert zombie.stop() == 0


def test_members_that_come_and_go_leave_the_learner_where_it_is(own_broker: Broker, tmp_path: Path) -> None:
    services = sharing(tmp_path, SERVICES, on_topic(new_place(own_broker.servers), 3, source={"kafka": LASTING}))
    first, second, third = services
    with closing(*services):
        learner_of([first.start()])
        produce(first, synthetic(1000))
        first.wait_learnt(1000)
        begun = lineage_of(first)[0]
        second.start()
        third.start()
        wait_for(lambda: {role(second), role(third)} == {"standby"})
        produce(first, synthetic(1000, first=1000))
        first.wait_learnt(2000)
        assert second.stop() == 0
        third.kill()
        produce(first, synthetic(1000, first=2000))
        assert first.wait_learnt(3000)["records"] == 3000
        first.checkpoint()
        assert first.manifest().begun == begun
        third.start()
        produce(first, synthetic(1000, first=3000))
        assert first.wait_learnt(4000)["role"] == "learner"
        assert first.stop() == 0
        assert learner_of([third]) is third
        assert third.status()["records"] == 4000
        assert third.manifest().order_lost_at is None, "nothing was left that another one had learnt"
        assert third.stop() == 0


def test_a_service_that_comes_back_in_time_keeps_its_turn_and_its_order(own_broker: Broker, tmp_path: Path) -> None:
    source: Settings = {"source": {"kafka": {"session_timeout_ms": 240_000, "heartbeat_interval_ms": 300}}}
    one, other = sharing(tmp_path, "ab", on_topic(new_place(own_broker.servers), 3, **source))
    with closing(one, other):
        learner_of([one.start()])
        other.start()
        wait_for(lambda: role(other) == "standby")
        produce(one, synthetic(9000))
        wait_until_noted(one, 4000)
        one.kill()
        learner_of([one.start()])
        assert one.wait_learnt(9000)["records"] == 9000
        assert role(other) == "standby"
        assert one.stop() == 0
    assert one.manifest().order_lost_at is None
