"""A log read by who does not own it, while its owner appends, restarts or is killed."""

import subprocess
import sys
from pathlib import Path

import pytest
from source_reading import order_of, payloads_of, read_count

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.log_view import LogView
from stream_app.sources.source import PositionLost, ReadOnly, SourceError

WRITER = """
import asyncio, sys
from stream_app.sources.embedded_log import EmbeddedLog
async def main():
    log = EmbeddedLog(sys.argv[1], partitions=3)
    first = sum(log.end().values())
    for number in range(int(sys.argv[2])):
        await log.append([b"%d" % (first + number * 7 + index) for index in range(7)])
        print(number, flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


def writer(path: Path, appends: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), str(appends)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_a_view_reads_what_the_owner_reads_in_the_same_order(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log", partitions=3)
    for number in range(300):
        await log.append([b"%d %d" % (number, index) for index in range(number % 11 + 1)])
    count = sum(log.end().values())
    view = LogView(tmp_path / "log")
    assert view.end() == log.end()
    seen, read = await read_count(view, {}, count), await read_count(log, {}, count)
    assert (order_of(seen), payloads_of(seen)) == (order_of(read), payloads_of(read))
    await view.close()
    await log.close()


async def test_a_view_follows_an_owner_in_another_process_that_is_killed_and_starts_again(tmp_path: Path) -> None:
    first = writer(tmp_path / "log", 5)
    assert first.stdout is not None
    assert first.stdout.readline() == "0\n"
    view = LogView(tmp_path / "log")
    seen = await read_count(view, {}, 35)
    first.kill()
    first.communicate()
    second = writer(tmp_path / "log", 400)
    seen += await read_count(view, view.end(), 2800)
    second.communicate()
    await view.close()
    log = EmbeddedLog(tmp_path / "log")
    read = await read_count(log, {}, 2835)
    assert (order_of(seen), payloads_of(seen)) == (order_of(read), payloads_of(read))
    await log.close()


async def test_a_view_says_what_retention_has_taken(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log", retain_bytes=10_000)
    view = LogView(tmp_path / "log")
    for _ in range(20):
        await log.append([b"x" * 1000] * 5)
    log.release(log.end())
    view.look()
    assert view.start() == log.start() != {0: 0}
    with pytest.raises(PositionLost):
        await read_count(view, {0: 0}, 1)
    assert set(payloads_of(await read_count(view, view.start(), 5))[0]) == {b"x" * 1000}
    await view.close()
    await log.close()


async def test_a_view_changes_nothing_and_needs_a_log(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is it there"):
        LogView(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    log = EmbeddedLog(tmp_path / "log")
    view = LogView(tmp_path / "log")
    with pytest.raises(ReadOnly):
        await view.append([b"x"])
    await log.append([b"1"])
    assert payloads_of(await read_count(view, {}, 1)) == {0: [b"1"]}
    await view.close()
    await log.close()
