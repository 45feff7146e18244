"""What every source promises, whichever it is."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from kafka_broker import new_source
from source_reading import order_of, payloads_of, read_count, read_until_idle

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.file import FileSource
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import Source, SourceError

Make = Callable[[Path, int], Source]
Fill = Callable[[Path, list[bytes]], Awaitable[Source]]

WRITABLE: dict[str, Make] = {
    "embedded_log": lambda path, partitions: EmbeddedLog(path / "log", partitions=partitions),
    "memory": lambda path, partitions: MemorySource(partitions=partitions),
}


def split_lines(stream: BinaryIO) -> Iterator[bytes]:
    return (line.rstrip(b"\n") for line in stream)


def file_of(path: Path, records: list[bytes]) -> Source:
    (path / "events.txt").write_bytes(b"".join(record + b"\n" for record in records))
    return FileSource(path / "events.txt", split_lines)


def files_of(path: Path, records: list[bytes]) -> Source:
    half = len(records) // 2
    (path / "a.txt").write_bytes(b"".join(record + b"\n" for record in records[:half]))
    (path / "b.txt.gz").write_bytes(gzip.compress(b"".join(record + b"\n" for record in records[half:])))
    return FileSource([path / "a.txt", path / "b.txt.gz"], split_lines)


FILLED: dict[str, Callable[[Path, list[bytes]], Source]] = {
    "file": file_of,
    "files": files_of,
    "bounded_memory": lambda path, records: MemorySource(records, is_bounded=True),
}


def maker(name: str, request: pytest.FixtureRequest) -> Make:
    """How to open a source that can be appended to; Kafka's topics are on the broker of all tests."""
    if name == "kafka":
        servers = request.getfixturevalue("kafka")
        return lambda path, partitions: new_source(servers, partitions)
    return WRITABLE[name]


@pytest.fixture(params=[*WRITABLE, "kafka"])
def make(request: pytest.FixtureRequest) -> Make:
    return maker(request.param, request)


@pytest.fixture(params=[*WRITABLE, "kafka", *FILLED])
def filled(request: pytest.FixtureRequest) -> Fill:
    """A source that holds the records given, in partition 0."""
    name = request.param
    opened = FILLED.get(name) or maker(name, request)

    async def fill(path: Path, records: list[bytes]) -> Source:
        if name in FILLED:
            return opened(path, records)
        source = opened(path, 1)
        await source.append(records)
        return source

    return fill


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
async def test_every_record_comes_once_in_order_in_batches_of_at_most_size(
    filled: Fill, size: int, tmp_path: Path
) -> None:
    records = [b"%d" % number for number in range(2500)]
    source = await filled(tmp_path, records)
    batches = await read_until_idle(source, {}, size=size)
    assert payloads_of(batches) == {0: records}
    assert max(len(batch.payloads) for batch in batches) <= size
    assert source.end() == {0: 2500}
    await source.close()


@pytest.mark.parametrize("begin", [0, 1, 1023, 1024, 1025, 2499, 2500])
async def test_reading_begins_exactly_at_the_position(filled: Fill, begin: int, tmp_path: Path) -> None:
    records = [b"%d" % number for number in range(2500)]
    source = await filled(tmp_path, records)
    batches = await read_until_idle(source, {0: begin}, size=100)
    assert [payload for batch in batches for payload in batch.payloads] == records[begin:]
    assert not batches or batches[0].offset == begin
    await source.close()


async def test_a_position_after_the_end_is_an_error(filled: Fill, tmp_path: Path) -> None:
    source = await filled(tmp_path, [b"a", b"b"])
    with pytest.raises(SourceError, match="before the position 3"):
        await read_until_idle(source, {0: 3})
    await source.close()


async def test_a_position_of_another_partition_is_an_error(filled: Fill, tmp_path: Path) -> None:
    source = await filled(tmp_path, [b"a", b"b"])
    with pytest.raises(SourceError, match="partition"):
        await read_until_idle(source, {1: 0})
    await source.close()


async def test_an_empty_record_is_a_record(filled: Fill, tmp_path: Path) -> None:
    source = await filled(tmp_path, [b"", b"a", b""])
    assert payloads_of(await read_until_idle(source, {})) == {0: [b"", b"a", b""]}
    await source.close()


async def test_append_gives_the_offsets_of_its_records(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 1)
    assert await source.append([b"a", b"b"]) == {0: range(2)}
    assert await source.append([]) == {}
    assert await source.append([b"c"]) == {0: range(2, 3)}
    await source.close()


async def test_calls_without_keys_go_round_the_partitions(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 3)
    given = [await source.append([b"a", b"b"]) for _ in range(4)]
    assert given == [{0: range(2)}, {1: range(2)}, {2: range(2)}, {0: range(2, 4)}]
    await source.close()


async def test_equal_keys_go_to_equal_partitions_in_order(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 4)
    keys = [b"k%d" % (number % 9) for number in range(300)]
    for begin in range(0, 300, 50):
        span = keys[begin : begin + 50]
        await source.append([b"%s:%03d" % (key, begin + place) for place, key in enumerate(span)], span)
    found = payloads_of(await read_until_idle(source, {}))
    homes = {key: [p for p, records in found.items() if any(r.startswith(key + b":") for r in records)] for key in keys}
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert len(found) > 1
    for records in found.values():
        assert [record[-3:] for record in records] == sorted(record[-3:] for record in records)
    await source.close()


async def test_keys_that_do_not_match_the_records_are_refused(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 1)
    with pytest.raises(SourceError, match="2 records cannot have 1 keys"):
        await source.append([b"a", b"b"], [b"k"])
    assert source.end() == {0: 0}
    await source.close()


async def test_the_order_is_the_same_wherever_reading_is_interrupted(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 3)
    if not source.keeps_order:
        await source.close()
        pytest.skip("this source has no order of its own; the order journal keeps it")
    for number in range(40):
        await source.append(
            [b"%d" % number] * (number % 7 + 1), None if number % 3 else [b"%d" % (number % 7)] * (number % 7 + 1)
        )
    whole = [
        (r.partition, o) for r in await read_until_idle(source, {}) for o in range(r.offset, r.offset + len(r.payloads))
    ]
    for size in (1, 5):
        position = {0: 0, 1: 0, 2: 0}
        for partition, offset in whole[:60]:
            first = (await read_count(source, position, 1, size))[0]
            assert (first.partition, first.offset) == (partition, offset)
            position[partition] = offset + 1
    await source.close()


async def test_an_order_is_followed_exactly_and_then_the_sources_own(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 2)
    for number in range(6):
        await source.append([b"%d" % number] * 10)
    order = [(1, 13), (0, 1), (1, 2), (0, 20)]
    batches = await read_until_idle(source, {}, order, size=4)
    assert order_of(batches)[:3] == order[:3]
    assert sum(count for partition, count in order_of(batches) if partition == 0) == 30
    assert {partition: len(records) for partition, records in payloads_of(batches).items()} == {0: 30, 1: 30}
    fourth = order_of(batches)[3]
    assert fourth == (0, 20) or (fourth > (0, 20) and not source.keeps_order), fourth
    await source.close()


async def test_an_order_longer_than_the_log_is_an_error(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 2)
    await source.append([b"a"])
    with pytest.raises(SourceError, match="1 more records of partition 0"):
        await read_until_idle(source, {}, [(0, 2)])
    await source.close()


async def test_all_waiting_readers_hear_when_nothing_is_new(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 1)
    idle = await asyncio.gather(*[anext(source.read({}, [], 10)) for _ in range(3)])
    assert [(records.partition, records.offset, records.payloads) for records in idle] == [(0, 0, [])] * 3
    await source.close()


async def test_an_append_wakes_all_waiting_readers(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 1)
    waiting = [asyncio.create_task(read_count(source, {}, 2)) for _ in range(3)]
    await asyncio.sleep(0)
    await source.append([b"a", b"b"])
    assert [payloads_of(found) for found in await asyncio.gather(*waiting)] == [{0: [b"a", b"b"]}] * 3
    await source.close()


async def test_close_ends_reading_and_refuses_appends_however_often(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path, 1)
    waiting = asyncio.create_task(read_until_idle(source, {}))
    await asyncio.sleep(0)
    await source.close()
    await source.close()
    assert await waiting == []
    with pytest.raises(SourceError, match="closed"):
        await source.append([b"a"])
