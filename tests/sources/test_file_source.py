import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from source_reading import read_until_idle

from stream_app.sources.file import FileSource
from stream_app.sources.source import SourceError


def split_lines(stream: BinaryIO) -> Iterator[bytes]:
    return (line.rstrip(b"\n") for line in stream)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.csv is missing"):
        FileSource(tmp_path / "nowhere.csv", split_lines)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        FileSource([tmp_path], split_lines)


async def test_a_file_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    with pytest.raises(SourceError, match="read-only"):
        await FileSource(tmp_path / "a", split_lines).append([b"2"])


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"no gzip", lambda data: data[:20] + b"\xff" * 40]
)
async def test_a_damaged_gz_file_is_named(damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    whole = gzip.compress(b"\n".join(b"%d" % number for number in range(20_000)))
    (tmp_path / "a.gz").write_bytes(damage(whole))
    with pytest.raises(SourceError, match=r"a\.gz cannot be read"):
        await read_until_idle(FileSource(tmp_path / "a.gz", split_lines), {})


async def test_the_end_counts_what_was_read_so_far(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x\n" * 10)
    source = FileSource(tmp_path / "a", split_lines)
    reading = source.read({}, [], 4)
    assert source.end() == {0: 0}
    await anext(reading)
    assert source.end() == {0: 4}


async def test_offsets_count_over_all_files_and_batches_keep_to_one(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() + b"\n" + name.encode() + b"\n")
    batches = await read_until_idle(FileSource([tmp_path / "a", tmp_path / "b"], split_lines), {0: 1})
    assert [(batch.offset, batch.payloads) for batch in batches] == [(1, [b"a"]), (2, [b"b", b"b"])]
