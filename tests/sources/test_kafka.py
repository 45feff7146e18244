"""What Kafka adds to what every source promises: topics, transactions, retention, other producers, refusals."""

import asyncio
import socket
import time
from contextlib import aclosing, closing

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from kafka_broker import PATIENT, administering, delete_records, new_place, new_source, tasks_left, topics_of
from source_reading import order_of, payloads_of, read_until_idle

from stream_app.sources.kafka import KafkaSource
from stream_app.sources.kafka_topic import KafkaOptions
from stream_app.sources.source import PositionLost, Records, SourceError


def topic_of(place: str) -> str:
    return place.rpartition("/")[2]


async def read_all(source: KafkaSource, position: dict[int, int], size: int = 1024) -> list[Records]:
    """All batches, however many records there should be: the source itself says where they end."""
    await source.look()
    while source.problem is not None:
        await source.look()
    return await read_until_idle(source, position, size=size)


def payloads_at(batches: list[Records]) -> list[tuple[int, bytes]]:
    """Each record with its offset."""
    return [(records.offset + place, payload) for records in batches for place, payload in enumerate(records.payloads)]


async def write_transactions(servers: str, topic: str, transactions: list[tuple[list[bytes], bool]]) -> None:
    """Records of partition 0, one transaction after the other, committed or aborted; all have ended."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=topic)
    await producer.start()
    try:
        for payloads, is_committed in transactions:
            await producer.begin_transaction()
            for payload in payloads:
                await (await producer.send(topic, payload, partition=0))
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())
    finally:
        await producer.stop()
    # The marker of the last one is written after the broker has said that it ends.
    while await end_of(servers, topic, "read_committed") != await end_of(servers, topic, "read_uncommitted"):
        pass


async def end_of(servers: str, topic: str, isolation_level: str) -> int:
    """Where partition 0 ends, for whoever reads so."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, isolation_level=isolation_level)
    await consumer.start()
    try:
        (end,) = (await consumer.end_offsets([TopicPartition(topic, 0)])).values()
        return int(end)
    finally:
        await consumer.stop()


async def test_a_missing_topic_is_an_error_that_says_how_to_get_it_and_is_not_created(kafka: str) -> None:
    place = new_place(kafka)
    with pytest.raises(SourceError, match=rf"kafka:{place}: there is no such topic; set source\.partitions"):
        KafkaSource(place, options=PATIENT)
    assert topic_of(place) not in await topics_of(kafka)


async def test_a_topic_is_created_with_the_partitions_asked_for_and_then_has_them(kafka: str) -> None:
    place = new_place(kafka)
    await KafkaSource(place, partitions=3, options=PATIENT).close()
    source = KafkaSource(place, options=PATIENT)
    assert source.end() == {0: 0, 1: 0, 2: 0}
    await source.close()
    with pytest.raises(SourceError, match=r"has 3 partitions, not 2: unset source\.partitions"):
        KafkaSource(place, partitions=2, options=PATIENT)


@pytest.mark.parametrize(
    "place", ["", "//", "//host/topic", "//host:9092", "//host:9092/", "//host:9092/a b", "//h:1,/t", "//u:p@h:1/t"]
)
def test_an_address_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(SourceError, match="expected kafka://HOST:PORT"):
        KafkaSource(place)


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"source\.kafka\.security_protocoll: unknown option; expected one of .*ssl_"):
        KafkaSource("//127.0.0.1:1/topic", options=KafkaOptions(client={"security_protocoll": "SSL"}))


def test_a_secret_among_the_options_is_refused_and_the_variable_named() -> None:
    with pytest.raises(SourceError, match="sasl_plain_password is a secret; set WEIR_SOURCE_KAFKA_PASSWORD or"):
        KafkaSource("//127.0.0.1:1/topic", options=KafkaOptions(client={"sasl_plain_password": "x"}))


def test_a_certificate_that_is_not_there_is_named() -> None:
    options = KafkaOptions(client={"security_protocol": "SSL", "ssl_cafile": "/nowhere.pem"})
    with pytest.raises(SourceError, match=r"source\.kafka: .*/nowhere\.pem.* cannot be used: "):
        KafkaSource("//127.0.0.1:1/topic", options=options)


def test_an_option_of_an_impossible_value_is_an_error(kafka: str) -> None:
    options = KafkaOptions(client={"security_protocol": "TLS"})
    with pytest.raises(SourceError, match=r"source\.kafka right\?: `security_protocol` should be"):
        KafkaSource(f"//{kafka}/topic", options=options)


def test_a_broker_that_is_not_there_is_named_with_the_reason() -> None:
    with closing(socket.socket()) as held:  # nobody listens, and nobody else can
        held.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{held.getsockname()[1]}"
        said = rf"kafka://{server}/topic: cannot be opened; .*(refused|Connect call failed)"
        with pytest.raises(SourceError, match=said):
            KafkaSource(f"//{server}/topic")


def test_a_broker_that_never_answers_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        place = f"//127.0.0.1:{silent.getsockname()[1]}/topic"
        with pytest.raises(SourceError, match=r"no answer within 0\.3 s"):
            KafkaSource(place, options=KafkaOptions(timeout_s=0.3))


async def test_only_committed_records_are_read_and_markers_do_not_break_the_position(kafka: str) -> None:
    place = new_place(kafka)
    source = KafkaSource(place, partitions=1, options=PATIENT)
    await source.append([b"plain"])
    await write_transactions(
        kafka, topic_of(place), [([b"a", b"b"], True), ([b"no"] * 3, False), ([b"c"], True), ([b"no"], False)]
    )
    wanted = [(0, b"plain"), (1, b"a"), (2, b"b"), (8, b"c")]
    one_by_one, batches = await asyncio.gather(read_all(source, {0: 0}, 1), read_all(source, {0: 0}))
    assert payloads_at(one_by_one) == payloads_at(batches) == wanted
    after = [batch.offset + len(batch.payloads) for batch in batches]
    for begin, rest in zip(
        after, await asyncio.gather(*[read_all(source, {0: begin}) for begin in after]), strict=True
    ):
        assert payloads_at(rest) == [(offset, payload) for offset, payload in wanted if offset >= begin]
    assert source.end() == {0: 9}
    assert await source.append([b"d"]) == {0: range(12, 13)}
    assert source.end() == {0: 13}
    await source.close()


async def test_an_order_is_followed_over_offsets_without_a_record(kafka: str) -> None:
    place = new_place(kafka)
    source = KafkaSource(place, partitions=2, options=PATIENT)
    assert await source.append([b"plain"]) == {0: range(1)}
    await write_transactions(kafka, topic_of(place), [([b"a"], True), ([b"b"], True), ([b"no"], False)])
    assert await source.append([b"x", b"y"]) == {1: range(2)}
    order = [(0, 2), (1, 1), (0, 1), (1, 1)]
    assert order_of(await read_until_idle(source, {}, order)) == order
    with pytest.raises(SourceError, match="asks for 1 more records of partition 0"):
        await read_until_idle(source, {}, [(0, 4)])
    await source.close()


async def test_a_position_that_retention_has_passed_is_lost_and_what_is_lost_is_said(kafka: str) -> None:
    place = new_place(kafka)
    source = KafkaSource(place, partitions=2, options=PATIENT)
    for _ in range(2):
        await source.append([b"%d" % number for number in range(100)])
    await delete_records(kafka, place, {0: 40, 1: 20})
    said = r"offsets 10 to 39 of partition 0, 19 to 19 of partition 1 .* up to 31 records would never be learnt"
    with pytest.raises(PositionLost, match=said) as raised:
        await read_until_idle(source, {0: 10, 1: 19})
    assert raised.value.lost == {0: range(10, 40), 1: range(19, 20)}
    kept = payloads_of(await read_until_idle(source, {}))
    assert kept == {number: [b"%d" % n for n in range(first, 100)] for number, first in ((0, 40), (1, 20))}
    assert source.start() == {0: 40, 1: 20}
    await source.close()


async def test_a_deleted_topic_is_not_created_again_and_a_shorter_one_of_its_name_is_told(kafka: str) -> None:
    place = new_place(kafka)
    source = KafkaSource(place, partitions=1, options=PATIENT)
    await source.append([b"a"] * 5)
    async with aclosing(source.read({0: 5})) as reading, administering(kafka) as admin:
        assert (await anext(reading)).payloads == []
        await admin.delete_topics([topic_of(place)])
        while topic_of(place) in await topics_of(kafka):
            pass
        assert [(await anext(reading)).payloads for _ in range(2)] == [[], []]
        assert topic_of(place) not in await topics_of(kafka)
        await admin.create_topics([NewTopic(topic_of(place), 1, 1)])
        with pytest.raises(SourceError, match="partition 0 ends at 0, before the position 5"):
            [records async for records in reading]
    await source.close()


async def test_a_record_over_the_bound_is_refused_and_nothing_of_its_call_is_there(kafka: str) -> None:
    source = KafkaSource(new_place(kafka), partitions=1, max_record_bytes=10, options=PATIENT)
    with pytest.raises(SourceError, match="a record of 11 bytes is over the limit of 10"):
        await source.append([b"a", b"x" * 11])
    assert await source.append([b"b"]) == {0: range(1)}
    await source.close()


async def test_a_record_that_the_broker_refuses_is_an_error_and_the_next_one_is_taken(kafka: str) -> None:
    place = new_place(kafka)
    async with administering(kafka) as admin:
        await admin.create_topics([NewTopic(topic_of(place), 1, 1, topic_configs={"max.message.bytes": "1000"})])
    while topic_of(place) not in await topics_of(kafka):
        pass
    source = KafkaSource(place, options=PATIENT)
    with pytest.raises(SourceError, match=r"the broker refuses these records; see its max\.message\.bytes"):
        await source.append([b"x" * 2000])
    assert await source.append([b"b"]) == {0: range(1)}
    await source.close()


async def test_records_carry_the_time_at_which_they_were_appended(kafka: str) -> None:
    source, before_s = new_source(kafka), time.time()
    await source.append([b"a"])
    (batch,) = await read_until_idle(source, {})
    assert before_s - 0.001 <= batch.time_s <= time.time()
    await source.close()


async def test_calls_that_wait_together_each_hear_where_their_records_are(kafka: str) -> None:
    source = new_source(kafka, 3)
    calls = [[b"%d:%d" % (call, place) * (call % 200) for place in range(call % 40 + 1)] for call in range(300)]
    given = await asyncio.gather(
        *[source.append(call, None if number % 2 else call) for number, call in enumerate(calls)]
    )
    found = payloads_of(await read_until_idle(source, {}))
    for call, offsets in zip(calls, given, strict=True):
        there = [payload for partition, span in offsets.items() for payload in found[partition][span.start : span.stop]]
        assert sorted(there) == sorted(call)
    assert sum(map(len, found.values())) == sum(map(len, calls))
    await source.close()


async def test_a_record_without_a_value_is_read_as_an_empty_one(kafka: str) -> None:
    place = new_place(kafka)
    source = KafkaSource(place, partitions=1, options=PATIENT)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    await producer.send_and_wait(topic_of(place), None, key=b"gone")
    await producer.stop()
    assert payloads_of(await read_all(source, {})) == {0: [b""]}
    await source.close()


async def test_what_others_append_is_read_and_counted(kafka: str) -> None:
    place = new_place(kafka)
    source, other = (KafkaSource(place, partitions=2, options=PATIENT) for _ in range(2))
    async with aclosing(source.read({})) as reading:
        assert (await anext(reading)).payloads == []
        await other.append([b"a", b"b"])
        found = [await anext(reading)]
        while not found[-1].payloads:
            found.append(await anext(reading))
        assert found[-1].payloads == [b"a", b"b"]
        assert source.end() == {0: 2, 1: 0}
    await asyncio.gather(source.close(), other.close())


async def test_close_leaves_nothing_running(kafka: str) -> None:
    source = new_source(kafka, 2)
    await source.append([b"a"])
    reading = source.read({})
    await anext(reading)
    await source.close()
    assert [batch async for batch in reading] == []
    assert tasks_left() == []


def test_a_compression_that_there_is_not_is_refused_by_name() -> None:
    options = KafkaOptions(client={"compression_type": "brotli"})
    with pytest.raises(SourceError, match=r"compression_type: 'brotli' cannot be used here, only .*gzip"):
        KafkaSource("//127.0.0.1:1/topic", options=options)
