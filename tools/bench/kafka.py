"""Rows on Kafka: JSON events learnt one by one and in envelopes, and appends, each beside bare aiokafka."""

import asyncio
import gc
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import uvloop

from stream_app.sources.batches import batched
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.kafka_writer import BATCH_BYTES
from tools.bench.backlog import learnt, settings, with_service
from tools.bench.children import in_child
from tools.bench.learn import RATE
from tools.bench.row import BenchError, Measured, Row, Run, alternate, compared
from tools.bench.stream import APPEND, json_events
from tools.kafka import VERSION

PARTITIONS = 4
ENVELOPE = 200
"""Events in one record of `kafka-envelope`."""
FILL_BYTES = 4 << 20


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "kafka-json", "JSON events from Kafka, learnt, with metrics and checkpoints",
            "bare loop: aiokafka getmany, orjson", "at least", 0.4, "x", kafka_json,
        ),
        Row(
            "kafka-envelope", f"the same events in records of {ENVELOPE}", "the same loop over these records",
            None, None, "x", kafka_envelope,
        ),
        Row(
            "kafka-append", f"events appended to Kafka, {APPEND} a call, acks=all, idempotent",
            "bare aiokafka producer with the same settings", None, None, "x", kafka_append,
        ),
    ]  # fmt: skip


def kafka_json(run: Run) -> Measured:
    """The whole service against the loop that reads and decodes, and does nothing with what it has decoded."""
    return _learnt(run, 1)


def kafka_envelope(run: Run) -> Measured:
    """The same where a record holds many events, one a line."""
    return _learnt(run, ENVELOPE)


def kafka_append(run: Run) -> Measured:
    """Call after call, each waited for; connecting is left out on both sides."""
    place = f"//{run.broker.servers}/append"
    asyncio.run(_fill(place, iter(())))
    path, passes = str(run.stream.json), run.passes

    def side(function: str) -> Callable[[], dict[str, float]]:
        return lambda: in_child(f"kafka:{function}", place=place, path=path, passes=passes)

    mine, theirs = alternate(run, run.repeats, side("append"), side("bare_append"))
    appended, sent = asyncio.run(_count(place)), 2 * run.repeats * passes * run.stream.events
    if appended != sent:
        raise BenchError(f"the topic holds {appended} of {sent} events")
    rates = [[one["events"] / one["seconds"] for one in side] for side in (mine, theirs)]
    return compared(RATE, *rates, events=mine[0]["events"], kafka=VERSION)


def learn(place: str, home: str) -> dict[str, float]:
    """The service on a topic, in a consumer group that nobody else was in."""
    source = {"group": Path(home).name}
    return with_service(settings(f"kafka:{place}", home, "json", source=source), learnt)


def bare(place: str, events: float, is_in_envelopes: float) -> dict[str, float]:
    """Read and decode; timed from before it connects, as the service is."""
    _hold_still()
    return uvloop.run(_bare(place, int(events), bool(is_in_envelopes)))


def append(place: str, path: str, passes: float) -> dict[str, float]:
    """Our append, batch after batch."""
    return uvloop.run(_append(place, _batches(path, passes)))


def bare_append(place: str, path: str, passes: float) -> dict[str, float]:
    """The producer by itself: a batch is sent, its acknowledgements awaited, the partitions take turns."""
    return uvloop.run(_bare_append(place, _batches(path, passes)))


def _learnt(run: Run, events_a_record: int) -> Measured:
    place, events = f"//{run.broker.servers}/json-{events_a_record}", run.passes * run.stream.events
    run.say(f"filling a topic with {events:,} events")
    payloads = json_events(run.stream.json, run.passes)
    records = map(b"\n".join, batched(payloads, events_a_record)) if events_a_record > 1 else payloads
    asyncio.run(_fill(place, records))

    def ours() -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=run.folder) as home:
            found: dict[str, float] = in_child("kafka:learn", place=place, home=home)
        if found["learnt"] != events:
            raise BenchError(f"the service did not learn every event: {found}")
        return found

    def reference() -> dict[str, float]:
        found: dict[str, float] = in_child(
            "kafka:bare", place=place, events=events, is_in_envelopes=events_a_record > 1
        )
        return found

    mine, theirs = alternate(run, run.repeats, ours, reference)
    rates = [[one["events"] / one["seconds"] for one in side] for side in (mine, theirs)]
    return compared(
        RATE, *rates, events=mine[0]["events"], partitions=PARTITIONS, checkpoints=mine[0]["checkpoints"],
        join_s=min(one["wait_s"] for one in mine), kafka=VERSION,
    )  # fmt: skip


async def _fill(place: str, records: Iterator[bytes]) -> None:
    """Call after call as `weir produce` sends, so that the partitions take turns."""
    source = KafkaSource(place, partitions=PARTITIONS)
    try:
        while batch := _some(records):
            await source.append(batch)
    finally:
        await source.close()


def _some(records: Iterator[bytes]) -> list[bytes]:
    """The next records, at most so many and so large together as are sent at once."""
    batch: list[bytes] = []
    size = 0
    for record in itertools.islice(records, APPEND):
        batch.append(record)
        size += len(record)
        if size >= FILL_BYTES:
            break
    return batch


async def _count(place: str) -> int:
    source = KafkaSource(place)
    await source.close()
    return sum(source.end().values())


async def _bare(place: str, events: int, is_in_envelopes: bool) -> dict[str, float]:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    servers, _, topic = place.removeprefix("//").partition("/")
    began, left = time.perf_counter(), events
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    while left > 0:
        for messages in (await consumer.getmany(timeout_ms=1000)).values():
            if is_in_envelopes:
                left -= sum(len([orjson.loads(line) for line in one.value.splitlines()]) for one in messages)
                continue
            for message in messages:
                orjson.loads(message.value)
            left -= len(messages)
    seconds = time.perf_counter() - began
    await consumer.stop()
    return {"events": events, "seconds": seconds}


async def _append(place: str, batches: list[list[bytes]]) -> dict[str, float]:
    source = KafkaSource(place)
    await source.append(batches[0])
    _hold_still()
    began = time.perf_counter()
    for batch in batches[1:]:
        await source.append(batch)
    seconds = time.perf_counter() - began
    await source.close()
    return {"events": sum(map(len, batches[1:])), "seconds": seconds}


async def _bare_append(place: str, batches: list[list[bytes]]) -> dict[str, float]:
    from aiokafka import AIOKafkaProducer

    servers, _, topic = place.removeprefix("//").partition("/")
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES
    )
    await producer.start()

    async def send(number: int, batch: list[bytes]) -> None:
        sent = [await producer.send(topic, payload, partition=number % PARTITIONS) for payload in batch]
        await asyncio.gather(*sent)

    await send(0, batches[0])
    _hold_still()
    began = time.perf_counter()
    for number, batch in enumerate(batches[1:], 1):
        await send(number, batch)
    seconds = time.perf_counter() - began
    await producer.stop()
    return {"events": sum(map(len, batches[1:])), "seconds": seconds}


def _batches(path: str, passes: float) -> list[list[bytes]]:
    return list(batched(json_events(Path(path), int(passes)), APPEND))


def _hold_still() -> None:
    """The garbage collector as the service sets it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
