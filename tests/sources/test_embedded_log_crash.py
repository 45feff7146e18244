"""Real processes, killed with SIGKILL while they append."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_reading import payloads_of, read_until_idle

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import SourceHeld

CHILD = Path(__file__).with_name("appending_child.py")
ROOT = Path(__file__).parents[2]
Acknowledged = tuple[int, int, int, int]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_was_acknowledged_survives_kills_in_order_and_whole(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    acknowledged: list[Acknowledged] = []
    for round_number in range(4):
        child = start_child(tmp_path, round_number * 1_000_000)
        acknowledged += list(read_acknowledged(child, kill_after=chance.randrange(1, 1500)))
    log = EmbeddedLog(tmp_path)
    found = payloads_of(await read_until_idle(log, {}))
    assert log.start() == {0: 0, 1: 0}
    assert {partition: len(records) for partition, records in found.items()} == log.end()
    check_acknowledged(found, acknowledged)
    check_whole_calls(found)
    await log.close()


async def test_the_lock_goes_with_its_holder_and_names_it_while_it_lives(tmp_path: Path) -> None:
    child = start_child(tmp_path, 0)
    with pytest.raises(SourceHeld, match=rf"process {child.pid} \(.*appending_child.py.*HTTP address"):
        EmbeddedLog(tmp_path)
    child.kill()
    child.communicate()
    await EmbeddedLog(tmp_path).close()


async def test_readers_see_only_what_a_crash_cannot_take(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    seen_after_append: list[int] = []

    async def read() -> None:
        async for records in log.read({}):
            seen_after_append.append(records.offset + len(records.payloads))
            assert records.offset + len(records.payloads) <= log.end()[0]

    reading = asyncio.create_task(read())
    for number in range(200):
        offsets = await log.append([b"%d" % number])
        assert offsets[0].stop <= log.end()[0]
        assert max(seen_after_append, default=0) <= offsets[0].stop
    await log.close()
    await reading


def start_child(directory: Path, first_call: int, ends_after: int = 0) -> "subprocess.Popen[str]":
    """One that kills itself after so many acknowledgements; with 0 it goes on until it is killed."""
    command = [sys.executable, str(CHILD), str(directory), str(first_call), str(ends_after)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)})
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


def read_acknowledged(child: "subprocess.Popen[str]", kill_after: int | None = None) -> Iterator[Acknowledged]:
    assert child.stdout is not None
    for number, line in enumerate(child.stdout):
        if number == kill_after:
            child.kill()
        if line.endswith("\n"):
            call, partition, first, count = map(int, line.split())
            yield call, partition, first, count
    child.stdout.close()
    child.wait()


def check_acknowledged(found: dict[int, list[bytes]], acknowledged: list[Acknowledged]) -> None:
    assert acknowledged
    for call, partition, first, count in acknowledged:
        records = found[partition][first : first + count]
        expected = [b"%d:%d:%d:" % (call, place, count) for place in range(count)]
        assert [record.rstrip(b"x") for record in records] == expected


def check_whole_calls(found: dict[int, list[bytes]]) -> None:
    """Also of what was not acknowledged: all records of a call, or none; none twice."""
    heads = [tuple(map(int, record.split(b":")[:3])) for records in found.values() for record in records]
    assert len(set(heads)) == len(heads)
    sizes = Counter(call for call, _, _ in heads)
    assert all(sizes[call] == count for call, _, count in heads)
