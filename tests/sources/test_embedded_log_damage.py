"""Bytes that flip, files that shrink or vanish: an error that names the log, never wrong or missing records."""

import os
import random
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from source_reading import payloads_of, read_until_idle
from test_embedded_log_crash import read_acknowledged, start_child

from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import SourceError

RECORDS = [b"%06d" % number * 50 for number in range(20_000)]
Damage = Callable[[Path], None]


def flip(share: float) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(len(data) * share)] ^= 4
        path.write_bytes(data)

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def append_junk(path: Path) -> None:
    path.write_bytes(path.read_bytes() + random.Random(0).randbytes(70_000))


def append_zeros(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(70_000))


def append_half_a_write(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes()[:300])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A log whose process was killed, so that its records lie in the WAL; and how many were acknowledged.

    So few that RocksDB has not begun a second WAL, and nearly all that lies in this one was acknowledged.
    """
    path = tmp_path_factory.mktemp("killed") / "log"
    child = start_child(path, 0, ends_after=100)
    return path, sum(count for _, _, _, count in read_acknowledged(child))


def contents(path: Path) -> dict[str, bytes]:
    skipped = ("OWNER", "LOG", "LOCK")
    return {p.name: p.read_bytes() for p in path.rglob("*") if p.is_file() and not p.name.startswith(skipped)}


@pytest.mark.parametrize("damage", [flip(0.1), flip(0.5), flip(0.9), empty, Path.unlink])
async def test_a_wal_that_lost_acknowledged_records_is_refused_and_left_alone(
    damage: Damage, killed: tuple[Path, int], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    shutil.copytree(killed[0], log)
    damage(max((log / "db").glob("*.log")))
    before = contents(log)
    with pytest.raises(SourceError, match=rf"log {log} is damaged.*acknowledged"):
        EmbeddedLog(log)
    assert contents(log) == before


@pytest.mark.parametrize("damage", [append_junk, append_zeros, append_half_a_write])
async def test_a_torn_tail_that_was_never_acknowledged_is_no_damage(
    damage: Damage, killed: tuple[Path, int], tmp_path: Path
) -> None:
    shutil.copytree(killed[0], tmp_path / "log")
    damage(max((tmp_path / "log" / "db").glob("*.log")))
    log = EmbeddedLog(tmp_path / "log")
    found = payloads_of(await read_until_idle(log, {}))
    assert sum(map(len, found.values())) >= killed[1]
    await log.append([b"on"])
    await log.close()


async def test_a_wal_header_that_rocksdb_would_loop_on_is_refused_and_can_be_cut_off(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "open")
    await log.append(RECORDS)
    shutil.copytree(tmp_path / "open", tmp_path / "log")  # its WAL ends with a whole record, unlike after a kill
    await log.close()
    wal = max((tmp_path / "log" / "db").glob("*.log"))
    size_bytes = wal.stat().st_size
    wal.write_bytes(wal.read_bytes() + b"\0\1\2\3\4\5\6" + bytes(100))
    with pytest.raises(SourceError, match=re.escape(f"truncate -s {size_bytes} {wal}")):
        EmbeddedLog(tmp_path / "log")
    os.truncate(wal, size_bytes)
    await EmbeddedLog(tmp_path / "log").close()


@pytest.mark.parametrize("damage", [flip(0.01), flip(0.3), flip(0.7), flip(0.999), cut, empty, Path.unlink])
async def test_a_damaged_sst_is_an_error_and_what_is_read_is_right(damage: Damage, tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    await log.append(RECORDS)
    await log.close()
    damage(max((tmp_path / "log" / "db").glob("*.sst"), key=lambda path: path.stat().st_size))
    found: list[bytes] = []
    with pytest.raises(SourceError, match="damaged"):
        await read_into(found, tmp_path / "log")
    assert found == RECORDS[: len(found)]


async def read_into(found: list[bytes], path: Path) -> None:
    log = EmbeddedLog(path)
    try:
        async for records in log.read({}):
            found += records.payloads
            if not records.payloads:
                return
    finally:
        await log.close()


@pytest.mark.parametrize("name", ["FORMAT", "ACKED"])
@pytest.mark.parametrize("damage", [empty, Path.unlink, flip(0.5)])
async def test_the_small_files_are_checked_too(damage: Damage, name: str, tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    await log.append(RECORDS[:10])
    await log.close()
    damage(tmp_path / "log" / name)
    with pytest.raises(SourceError, match=r"log .*(damaged|cannot be opened|partitions|newer)"):
        EmbeddedLog(tmp_path / "log")


async def test_a_log_whose_records_were_deleted_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    await log.append(RECORDS[:10])
    await log.close()
    shutil.rmtree(tmp_path / "log" / "db")
    with pytest.raises(SourceError, match="log"):
        EmbeddedLog(tmp_path / "log")
    with suppress(FileNotFoundError):
        assert not list((tmp_path / "log" / "db").glob("*.sst"))
