"""What the embedded log promises beyond what every source does."""

import asyncio
import os
import re
from pathlib import Path

import pytest
from source_reading import payloads_of, read_until_idle

from stream_app.sources import block_store
from stream_app.sources.blocks import Changes
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import PositionLost, SourceError, SourceFull, SourceHeld


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_everything_is_there_after_a_restart_and_offsets_go_on(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, partitions=2)
    await log.append([b"a", b""])
    await log.append([b"b"])
    await log.close()
    log = EmbeddedLog(tmp_path)
    assert log.end() == {0: 2, 1: 1}
    assert payloads_of(await read_until_idle(log, {})) == {0: [b"a", b""], 1: [b"b"]}
    assert await log.append([b"c"]) == {0: range(2, 3)}
    await log.close()


async def test_a_second_opener_is_refused_in_the_same_process_too(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    with pytest.raises(SourceHeld, match="pytest"):
        EmbeddedLog(tmp_path)
    await log.close()
    await EmbeddedLog(tmp_path).close()


async def test_the_number_of_partitions_stays(tmp_path: Path) -> None:
    await EmbeddedLog(tmp_path, partitions=3).close()
    with pytest.raises(SourceError, match="has 3 partitions, not 4"):
        EmbeddedLog(tmp_path, partitions=4)
    log = EmbeddedLog(tmp_path)
    assert log.end() == {0: 0, 1: 0, 2: 0}
    await log.close()


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    await EmbeddedLog(tmp_path).close()
    path = tmp_path / "FORMAT"
    path.write_text(path.read_text().replace('"version":1', '"version":2'))
    with pytest.raises(SourceError, match="format 2, newer than 1"):
        EmbeddedLog(tmp_path)


@pytest.mark.parametrize("partitions", [0, -1, 1025])
def test_an_impossible_number_of_partitions_is_refused(partitions: int, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="must be 1 to 1024"):
        EmbeddedLog(tmp_path, partitions=partitions)


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match=re.escape(str(tmp_path / "file"))):
        EmbeddedLog(tmp_path / "file")


async def test_a_record_over_the_limit_is_refused_with_its_size_and_all_of_its_call(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, max_record_bytes=10)
    with pytest.raises(SourceError, match="11 bytes is over the limit of 10"):
        await log.append([b"a", b"x" * 11])
    assert await log.append([b"x" * 10]) == {0: range(1)}
    await log.close()


async def test_only_bytes_are_records(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    with pytest.raises(SourceError, match="must be bytes"):
        await log.append(["text"])  # type: ignore[list-item]
    await log.close()


async def test_large_records_and_large_calls_are_cut_into_blocks(tmp_path: Path) -> None:
    records = [b"x" * 3_000_000, b"y", b"z" * 900_000, b"w" * 900_000] + [b"%d" % number for number in range(3000)]
    log = EmbeddedLog(tmp_path)
    assert await log.append(records) == {0: range(3004)}
    assert payloads_of(await read_until_idle(log, {})) == {0: records}
    await log.close()


async def test_more_waiting_than_the_bound_is_refused_at_once(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, max_waiting_bytes=1000)
    waiting = [asyncio.create_task(log.append([b"x" * 300])) for _ in range(10)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [dict] * 2 + [SourceFull] * 8
    assert log.end() == {0: 2}
    assert await log.append([b"x" * 5000]) == {0: range(2, 3)}
    await log.close()


async def test_appends_wait_while_rocksdb_is_behind_with_flushing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_store, "_WRITE_BUFFER_BYTES", 64 << 10)  # it is behind after every second record
    stalls, write = 0, block_store.BlockStore.write

    def counting(store: block_store.BlockStore, changes: Changes) -> bool:
        nonlocal stalls
        is_written = write(store, changes)
        stalls += not is_written
        return is_written

    monkeypatch.setattr(block_store.BlockStore, "write", counting)
    log, appended = EmbeddedLog(tmp_path), []
    while not stalls:
        records = [os.urandom(60_000) for _ in range(20)]
        await log.append(records)
        appended += records
    assert payloads_of(await read_until_idle(log, {0: 0})) == {0: appended}
    await log.close()


async def test_an_append_that_is_cancelled_harms_no_other(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    waiting = [asyncio.create_task(log.append([b"%d" % number])) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [dict, asyncio.CancelledError, dict]
    await log.close()


async def test_close_waits_for_appends_under_way(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    waiting = [asyncio.create_task(log.append([b"%d" % number])) for number in range(50)]
    await asyncio.sleep(0)
    await log.close()
    assert sorted(given[0].start for given in await asyncio.gather(*waiting)) == list(range(50))


async def test_old_blocks_are_forgotten_once_released_and_offsets_stay(tmp_path: Path) -> None:
    clock = Clock()
    log = EmbeddedLog(tmp_path, retain_s=60, clock=clock)
    for number in range(5):
        await log.append([b"%d" % number] * 10)
        clock.now_s += 20
    assert log.start() == {0: 0}
    log.release({0: 15})
    assert log.start() == {0: 10}
    with pytest.raises(PositionLost, match=r"position 9 of partition 0 .* begins at 10.* --accept-loss") as raised:
        await read_until_idle(log, {0: 9})
    assert raised.value.lost == {0: range(9, 10)}
    await log.close()
    log = EmbeddedLog(tmp_path, retain_s=60, clock=clock)
    assert (log.start(), log.end()) == ({0: 10}, {0: 50})
    assert [len(records) for records in payloads_of(await read_until_idle(log, {})).values()] == [40]
    await log.close()


async def test_the_oldest_go_first_when_there_are_more_bytes_than_retained(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, partitions=2, retain_bytes=450)
    for _ in range(8):
        await log.append([b"x" * 100])
    log.release(log.end())
    assert log.start() == {0: 2, 1: 2}
    await log.close()


async def test_the_newest_block_stays_so_that_offsets_go_on(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, retain_bytes=0)
    for number in range(3):
        await log.append([b"%d" % number])
    log.release(log.end())
    await log.close()
    log = EmbeddedLog(tmp_path, retain_bytes=0)
    assert (log.start(), log.end()) == ({0: 2}, {0: 3})
    await log.close()


async def test_a_reader_left_behind_by_retention_is_told(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, retain_bytes=0)
    for number in range(5):
        await log.append([b"%d" % number])
    reading = log.read({0: 0}, [], 1)
    assert (await anext(reading)).offset == 0
    log.release(log.end())
    with pytest.raises(PositionLost):
        await anext(reading)
    await log.close()


async def test_forgotten_records_give_their_disk_space_back(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, retain_bytes=4 << 20)
    noise = [os.urandom(2_000) for _ in range(500)]
    for _ in range(120):
        await log.append(noise)
        log.release(log.end())
    await log._compacted()  # while that goes on, no other one begins
    await log.append([b"one more, and what was forgotten is compacted"])
    await log.close()
    kept_bytes = sum(path.stat().st_size for path in (tmp_path / "db").glob("*.sst"))
    log = EmbeddedLog(tmp_path)
    assert log.end()[0] - log.start()[0] < 5_000
    await log.close()
    assert kept_bytes < 48 << 20
