"""A disk that fills up: a real, small file system."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from source_reading import payloads_of, read_until_idle

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import SourceError, SourceFull


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)


async def fill(log: EmbeddedLog, size_bytes: int) -> list[bytes]:
    """Append calls of two records until the disk is full; what was acknowledged."""
    acknowledged: list[bytes] = []
    with suppress(SourceFull):
        while True:
            records = [os.urandom(size_bytes // 2), os.urandom(size_bytes // 2)]
            await log.append(records)
            acknowledged += records
    return acknowledged


@pytest.mark.parametrize("size_bytes", [300, 100_000, 900_000])
async def test_a_full_disk_refuses_appends_and_takes_them_again_once_there_is_room(
    size_bytes: int, small_disk: Path
) -> None:
    (small_disk / "ballast").write_bytes(bytes((5 if size_bytes < 1000 else 2) << 20))
    log = EmbeddedLog(small_disk / "log")
    acknowledged = await fill(log, size_bytes)
    for _ in range(3):
        with pytest.raises(SourceFull, match="full"):
            await log.append([bytes(2_000_000)])
        assert log.end() == {0: len(acknowledged)}
        assert payloads_of(await read_until_idle(log, {})) == {0: acknowledged}
    enlarge(small_disk)
    assert await log.append([b"again"]) == {0: range(len(acknowledged), len(acknowledged) + 1)}
    acknowledged += [b"again", *(await append_some(log))]
    assert payloads_of(await read_until_idle(log, {})) == {0: acknowledged}
    await log.close()
    log = EmbeddedLog(small_disk / "log")
    assert payloads_of(await read_until_idle(log, {})) == {0: acknowledged}
    await log.close()


async def append_some(log: EmbeddedLog) -> list[bytes]:
    records = [b"%d" % number for number in range(100)]
    for record in records:
        await log.append([record])
    return records


async def test_a_full_disk_may_be_closed_and_is_complete_when_opened_with_room(small_disk: Path) -> None:
    log = EmbeddedLog(small_disk / "log")
    acknowledged = await fill(log, 100_000)
    await log.close()
    with suppress(SourceError):
        await EmbeddedLog(small_disk / "log").close()
    enlarge(small_disk)
    log = EmbeddedLog(small_disk / "log")
    assert payloads_of(await read_until_idle(log, {})) == {0: acknowledged}
    await log.close()
