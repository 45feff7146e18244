"""Services on a Kafka topic that share one model, the order that they recorded, and a log that follows it."""

from contextlib import aclosing
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from weir_process import Weir, append, closing, wait_for

from stream_app.journal import Journal
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.source import Order

ENTRY_BYTES = 14
QUICK = {"session_timeout_ms": 3000, "heartbeat_interval_ms": 300}
"""Another member takes over sooner."""

Settings = dict[str, dict[str, object]]


def on_topic(place: str, partitions: int = 1, **sections: dict[str, object]) -> Settings:
    """Settings of a service that learns from this topic, which it creates."""
    source: dict[str, object] = {"url": f"kafka:{place}", "partitions": partitions, "batch": 53, "kafka": QUICK}
    checkpoints: dict[str, object] = {"every_events": 500, "keep": 100_000}
    return {
        **sections,
        "source": source | sections.get("source", {}),
        "checkpoints": checkpoints | sections.get("checkpoints", {}),
    }


def started(service: Weir) -> Weir:
    """It runs; begun again where a loaded machine opens the topic later than the short `timeout_s` of a test allows."""
    while True:
        try:
            return service.start()
        except AssertionError as error:
            if "no answer within" not in str(error):
                raise


def sharing(folder: Path, names: str, settings: Settings) -> list[Weir]:
    """Services with one checkpoint store, each with a state folder of its own, as if on a machine of its own."""
    store = {"url": str(folder / "shared"), **settings["checkpoints"]}
    return [Weir(folder / name, **{**settings, "checkpoints": store}) for name in names]


def role(service: Weir) -> str:
    return str(service.status()["role"])


def learner_of(services: list[Weir]) -> Weir:
    """The one of the running services that learns, as soon as there is one."""

    def found() -> Weir | None:
        statuses = [(service, service.status()) for service in services]
        return next((one for one, status in statuses if status["role"] == "learner" and status["checkpoint"]), None)

    return wait_for(found)


def lineage_of(service: Weir) -> list[str]:
    """Ids of the checkpoints from the first one to HEAD."""
    found: list[str] = []
    model_id: str | None = service.head()
    while model_id is not None:
        found.append(model_id)
        model_id = service.manifest(model_id).parent
    return found[::-1]


def order_learnt(service: Weir) -> Order:
    """The order that the checkpoints record, from the very first event on."""
    orders = [msgspec.msgpack.decode(service.blob("order", one), type=Order) for one in lineage_of(service)]
    return list(chain.from_iterable(orders))


def partitions_of(order: Order) -> bytes:
    """One byte per record: the partition that it came from."""
    return b"".join(bytes([partition]) * count for partition, count in order)


def noted_order(service: Weir) -> bytes:
    """What a killed service had noted in its journal; each record noted may have been learnt."""
    journal = Journal(service.state / "order.journal")
    try:
        return partitions_of(journal.order_after({}))
    finally:
        journal.close()


def wait_until_noted(service: Weir, records: int, batch: int = 53) -> None:
    """Wait until a running service has noted the order of so many records."""
    path = service.state / "order.journal"
    wait_for(lambda: path.exists() and path.stat().st_size > ENTRY_BYTES * records / batch)


async def records_in(place: str, order: Order) -> list[bytes]:
    """The topic's records in this order."""
    source = KafkaSource(place)
    payloads: list[bytes] = []
    async with aclosing(source.read({}, order)) as reading:
        while len(payloads) < sum(count for _, count in order):
            payloads += (await anext(reading)).payloads
    await source.close()
    return payloads


async def learnt_from_a_log(service: Weir, place: str, folder: Path, **settings: Any) -> dict[str, bytes]:
    """What a service has learnt from a log, of the topic's events in the order that the first one recorded."""
    other = Weir(folder, **settings)
    payloads = await records_in(place, order_learnt(service))
    await append(other.log, payloads)
    with closing(other):
        other.start().wait_learnt(len(payloads))
        assert other.stop() == 0
    return other.deciding()
