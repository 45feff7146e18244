"""`weir produce` into Kafka and `weir serve` from it, killed again and again: each event is learnt once, in order."""

import json
import random
import socket
from pathlib import Path

import pytest
from kafka_broker import new_place
from kafka_services import (
    QUICK,
    learnt_from_a_log,
    lineage_of,
    noted_order,
    on_topic,
    order_learnt,
    partitions_of,
    wait_until_noted,
)
from weir_process import Weir, closing, refused, synthetic

from stream_app.journal import Journal
from stream_app.sources.source import Order
from tools.kafka import Broker

EVENTS = 300_000
PARTITIONS = 4
KILLS = 10
BATCH = 53


def with_order(service: Weir, begun: str, order: Order) -> Weir:
    """A service that has learnt nothing yet, and is to learn in this order."""
    service.state.mkdir()
    journal, ends = Journal(service.state / "order.journal"), dict.fromkeys(range(PARTITIONS), 0)
    journal.rewind({}, begun)
    for partition, count in order:
        journal.note(partition, ends[partition], count)
        ends[partition] += count
    journal.close()
    return service


async def test_killed_again_and_again_it_ends_in_the_bytes_of_a_run_never_killed_and_of_a_log(
    own_broker: Broker, tmp_path: Path
) -> None:
    place = new_place(own_broker.servers)
    few = {"max_partition_fetch_bytes": 30_000}
    settings = on_topic(
        place, PARTITIONS, source={"batch": BATCH, "kafka": QUICK | few}, checkpoints={"every_events": 7000}
    )
    service = Weir(tmp_path / "killed", **settings)
    events, share = synthetic(EVENTS), EVENTS // KILLS
    chance, noted = random.Random(4), []
    with closing(service):
        for number in range(KILLS):
            # Some more each time, so that however slow this test is, each kill hits another place.
            (tmp_path / "events").write_bytes(b"\n".join(events[number * share : (number + 1) * share]))
            ran = service.command("produce", str(tmp_path / "events"), "--to", f"kafka:{place}", "--json")
            assert (ran.code, json.loads(ran.out)["events"]) == (0, share), ran
            service.start()
            wait_until_noted(service, int(EVENTS * (number + chance.random()) / KILLS), BATCH)
            service.kill()
            noted.append(noted_order(service))
        status = service.start().wait_learnt(EVENTS)
        assert service.stop() == 0
    assert len(set(noted)) == KILLS
    assert 0 < len(noted[0]) < EVENTS, "the kills did not hit a service that was learning"
    assert (status["examples"], status["duplicates"], status["dead_letters"]) == (EVENTS, 0, 0)
    assert sum(status["position"].values()) == EVENTS
    assert service.manifest().order_lost_at is None
    order = order_learnt(service)
    assert len(partitions_of(order)) == EVENTS
    assert [partitions_of(order).startswith(before) for before in noted] == [True] * KILLS
    plenty = on_topic(place, PARTITIONS, checkpoints={"every_events": 50_000})
    never_killed = with_order(Weir(tmp_path / "never killed", **plenty), lineage_of(service)[0], order)
    with closing(never_killed):
        never_killed.start().wait_learnt(EVENTS)
        assert never_killed.stop() == 0
    assert partitions_of(order_learnt(never_killed)) == partitions_of(order)
    assert service.deciding() == never_killed.deciding()
    from_a_log = await learnt_from_a_log(service, place, tmp_path / "log", checkpoints={"every_events": 100_000})
    assert service.deciding() == from_a_log


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["produce", "river:Phishing", "--to", "URL"]])
def test_a_broker_that_is_not_there_is_said_in_one_line(command: list[str], tmp_path: Path) -> None:
    with socket.socket() as held:  # nobody listens, and nobody else can
        held.bind(("127.0.0.1", 0))
        url = f"kafka://127.0.0.1:{held.getsockname()[1]}/topic"
        (tmp_path / "weir.toml").write_text(f'[source]\nurl = "{url}"\n[state]\ndir = "{tmp_path}"\n')
        arguments = [url if argument == "URL" else argument for argument in command]
        said = refused(*arguments, "-c", str(tmp_path / "weir.toml"))
    assert said.startswith(f"weir: {url}: cannot be opened; is the broker there")
    assert "Unable connect to" in said
