"""`weir produce` into Kafka and `weir serve` from it, killed again and again: each event is learnt once, in order."""

import json
import random
import socket
from contextlib import aclosing
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from kafka_broker import new_place
from weir_process import Weir, append, closing, refused, synthetic, wait_for

from stream_app.journal import Journal
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.source import Order

EVENTS = 20_000
KILLS = 4
BATCH = 53
ENTRY_BYTES = 14


def partitions_of(order: Order) -> bytes:
    """One byte per record: the partition that it came from."""
    return b"".join(bytes([partition]) * count for partition, count in order)


def order_learnt(service: Weir) -> Order:
    """The order that the checkpoints record, from the very first event on."""
    orders: list[Order] = []
    model_id: str | None = service.head()
    while model_id is not None:
        orders.append(msgspec.msgpack.decode(service.blob("order", model_id), type=Order))
        model_id = service.manifest(model_id).parent
    return list(chain.from_iterable(reversed(orders)))


def noted_order(service: Weir) -> bytes:
    """What a killed service had noted in its journal; each record noted may have been learnt."""
    journal = Journal(service.state / "order.journal")
    try:
        return partitions_of(journal.order_after({}))
    finally:
        journal.close()


def wait_until_noted(service: Weir, records: int) -> None:
    """Wait until a running service has noted the order of so many records."""
    path = service.state / "order.journal"
    wait_for(lambda: path.exists() and path.stat().st_size > ENTRY_BYTES * records / BATCH)


async def records_in(place: str, order: Order) -> list[bytes]:
    """The topic's records in this order."""
    source = KafkaSource(place)
    payloads: list[bytes] = []
    async with aclosing(source.read({}, order)) as reading:
        while len(payloads) < sum(count for _, count in order):
            payloads += (await anext(reading)).payloads
    await source.close()
    return payloads


async def replayed(service: Weir, place: str, folder: Path, settings: dict[str, dict[str, object]]) -> Weir:
    """A service that has learnt the topic's events from a log, in the order that the first one recorded."""
    other = Weir(folder, checkpoints=settings["checkpoints"])
    await append(other.log, await records_in(place, order_learnt(service)))
    with closing(other):
        other.start().wait_learnt(EVENTS)
        assert other.stop() == 0
    return other


async def test_killed_again_and_again_it_learns_each_event_once_in_the_order_that_it_recorded(
    kafka: str, tmp_path: Path
) -> None:
    place = new_place(kafka)
    settings: dict[str, dict[str, object]] = {
        "source": {
            "url": f"kafka:{place}",
            "partitions": 4,
            "batch": BATCH,
            "kafka": {"max_partition_fetch_bytes": 30_000},
        },
        "checkpoints": {"every_events": 1500, "keep": 1000},
    }
    service = Weir(tmp_path / "killed", **settings)
    (tmp_path / "events").write_bytes(b"\n".join(synthetic(EVENTS)))
    ran = service.command("produce", str(tmp_path / "events"), "--to", f"kafka:{place}", "--json")
    assert (ran.code, json.loads(ran.out)["events"]) == (0, EVENTS), ran
    chance, noted = random.Random(4), []
    with closing(service):
        for number in range(KILLS):
            service.start()
            wait_until_noted(service, int(EVENTS * (number + chance.random()) / KILLS))
            service.kill()
            noted.append(noted_order(service))
        status = service.start().wait_learnt(EVENTS)
        assert service.stop() == 0
    assert len(set(noted)) == KILLS
    assert 0 < len(noted[0]) < EVENTS, "the kills did not hit a service that was learning"
    assert (status["examples"], status["duplicates"], status["dead_letters"]) == (EVENTS, 0, 0)
    assert sum(status["position"].values()) == EVENTS
    learnt = partitions_of(order_learnt(service))
    assert len(learnt) == EVENTS
    assert [learnt.startswith(order) for order in noted] == [True] * KILLS
    assert service.deciding() == (await replayed(service, place, tmp_path / "replayed", settings)).deciding()


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["produce", "river:Phishing", "--to", "URL"]])
def test_a_broker_that_is_not_there_is_said_in_one_line(command: list[str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"kafka://127.0.0.1:{free.getsockname()[1]}/topic"
    (tmp_path / "weir.toml").write_text(f'[source]\nurl = "{url}"\n[state]\ndir = "{tmp_path}"\n')
    arguments = [url if argument == "URL" else argument for argument in command]
    said = refused(*arguments, "-c", str(tmp_path / "weir.toml"))
    assert said.startswith(f"weir: {url}: cannot be opened; is the broker there")
    assert "Unable connect to" in said
