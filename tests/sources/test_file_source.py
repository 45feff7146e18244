import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from source_reading import read_until_idle

from formats.csv_row import CsvRow
from formats.example import FormatError
from formats.labels import Labels
from formats.schema import Schema
from stream_app.sources import file_stream
from stream_app.sources.file import FileSource
from stream_app.sources.source import SourceError

LINES = b"".join(b"%d\n" % number for number in range(20_000))
Damage = Callable[[bytes], bytes]


def split_lines(stream: BinaryIO) -> Iterator[bytes]:
    return (line.rstrip(b"\n") for line in stream)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def payloads(path: Path, size: int = 1024) -> list[bytes]:
    return [payload for records in FileSource(path, split_lines).batches(size) for payload in records.payloads]


def rows(path: Path, **columns: object) -> list[dict[str, object]]:
    """What becomes of a table on its way through a Parquet file."""
    pq.write_table(pa.table(columns), path / "a.parquet")
    return [json.loads(payload) for payload in payloads(path / "a.parquet")]


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


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"no gzip", lambda data: data[:20] + b"\xff" * 40]
)
async def test_a_damaged_packed_file_is_named(damage: Damage, name: str, tmp_path: Path) -> None:
    whole = gzip.compress(LINES) if name == "a.gz" else zstd(LINES)
    (tmp_path / name).write_bytes(damage(whole))
    with pytest.raises(SourceError, match=rf"{name} cannot be read"):
        await read_until_idle(FileSource(tmp_path / name, split_lines), {})


@pytest.mark.parametrize(("name", "pack"), [("a", bytes), ("a.gz", gzip.compress), ("a.zst", zstd)])
def test_a_packed_file_holds_the_lines_of_the_plain_one(name: str, pack: Damage, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pack(LINES))
    assert payloads(tmp_path / name, 7) == LINES.splitlines()


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_files_may_be_several_one_after_the_other(pack: Damage, tmp_path: Path) -> None:
    name = "a.gz" if pack is gzip.compress else "a.zst"
    (tmp_path / name).write_bytes(pack(b"1\n2\n") + pack(b"") + pack(b"3\n"))
    assert payloads(tmp_path / name) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_every_whole_line_before_the_cut_of_a_packed_file_is_given(pack: Damage, tmp_path: Path) -> None:
    path = tmp_path / ("a.gz" if pack is gzip.compress else "a.zst")
    lines = [b"%d %d" % (number, number**9) for number in range(200_000)]
    path.write_bytes(pack(b"\n".join(lines))[:-100])
    found: list[bytes] = []
    with pytest.raises(SourceError, match="cannot be read"):
        found.extend(payload for records in FileSource(path, split_lines).batches(512) for payload in records.payloads)
    whole = (
        gzip.GzipFile(path) if pack is gzip.compress else zstandard.ZstdDecompressor().stream_reader(path.open("rb"))
    )
    with whole:
        kept = b""
        try:
            while piece := whole.read1(1 << 16) if isinstance(whole, gzip.GzipFile) else whole.read(1 << 16):
                kept += piece
        except EOFError:
            pass
    assert found == kept.split(b"\n")[:-1]
    assert len(found) > 190_000


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_stream, "MAX_LINE_BYTES", 1 << 20)
    (tmp_path / "a").write_bytes(b"1\n2\n" + b"x" * (3 << 20))
    reading = FileSource(tmp_path / "a", split_lines).batches(10)
    assert next(reading).payloads == [b"1", b"2"]
    with pytest.raises(SourceError, match="a line of more than 1048576 bytes"):
        next(reading)


def test_what_cannot_be_cut_is_named_with_its_line_after_all_that_was_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'y,a\n1,2\n1,"x\ny"\n1,"open\n' + b"1,2\n" * 300_000)
    csv = CsvRow(Labels("number", 0), Schema(label="y"))
    reading = FileSource(tmp_path / "a.csv", csv.split).batches(10)
    assert next(reading).payloads == [b"1,2", b'1,"x\ny"']
    with pytest.raises(SourceError, match=r"a\.csv, line 5: a quote opened"):
        next(reading)


def test_records_before_an_error_come_whatever_the_size_of_a_batch(tmp_path: Path) -> None:
    def failing(stream: BinaryIO) -> Iterator[bytes]:
        yield from split_lines(io.BytesIO(stream.readline() + stream.readline()))
        raise FormatError("third")

    (tmp_path / "a").write_bytes(b"1\n2\n3\n")
    reading = FileSource(tmp_path / "a", failing).batches(100)
    assert next(reading).payloads == [b"1", b"2"]
    with pytest.raises(SourceError, match="line 3: third"):
        next(reading)


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


def test_while_a_batch_is_out_its_file_is_told(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"" if name == "b" else b"x\ny\n")
    source = FileSource([tmp_path / name for name in "abc"], split_lines)
    assert [(source.current, source.current_offset) for _ in source.batches(1)] == [(0, 0), (0, 0), (2, 2), (2, 2)]


def test_bytes_consumed_grow_to_the_size_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(LINES))
    (tmp_path / "b").write_bytes(LINES)
    pq.write_table(pa.table({"x": list(range(5_000))}), tmp_path / "c.parquet")
    source = FileSource([tmp_path / "a.gz", tmp_path / "b", tmp_path / "c.parquet"], split_lines)
    consumed = [source.consumed_bytes for _ in source.batches(1_000)]
    assert consumed == sorted(consumed)
    assert source.consumed_bytes == source.size_bytes == sum(path.stat().st_size for path in source.paths)


def test_parquet_keeps_types_and_leaves_out_nothing(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        n=[1, None],
        x=[0.5, None],
        b=[True, None],
        t=["é", None],
        words=[["a", "b"], None],
        price=[Decimal("1.25"), None],
        kind=pa.array(["u", None]).dictionary_encode(),
    )
    assert found[0] == {"n": 1, "x": 0.5, "b": True, "t": "é", "words": ["a", "b"], "price": 1.25, "kind": "u"}
    assert found[1] == dict.fromkeys(found[0])


def test_parquet_times_are_iso_8601_and_durations_seconds(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 600)
    found = rows(
        tmp_path,
        naive=pa.array([moment], pa.timestamp("us")),
        ns=pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
        zoned=pa.array([moment.replace(tzinfo=UTC)], pa.timestamp("ms", "Europe/Zurich")),
        day=[moment.date()],
        clock=[moment.time()],
        long=[timedelta(minutes=1, milliseconds=500)],
    )
    assert found == [
        {
            "naive": "2026-01-02T03:04:05.000600",
            "ns": "2023-11-14T22:13:20.123456",
            "zoned": "2026-01-02T03:04:05+00:00",
            "day": "2026-01-02",
            "clock": "03:04:05.000600",
            "long": 60.5,
        }
    ]


def test_a_parquet_row_with_a_number_that_is_not_finite_is_no_json(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, float("nan"), float("inf"), None]}), tmp_path / "a.parquet")
    found = payloads(tmp_path / "a.parquet")
    assert found == [b'{"x":1.0}', b'{"x": NaN}', b'{"x": Infinity}', b'{"x":null}']


def test_parquet_is_read_by_row_groups(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": list(range(5_000))}), tmp_path / "a.parquet", row_group_size=700)
    assert [json.loads(payload)["x"] for payload in payloads(tmp_path / "a.parquet", 300)] == list(range(5_000))


@pytest.mark.parametrize(
    ("column", "said"), [([{"a": 1}], "struct<a: int64>"), ([[1, 2]], "list<element: int64>"), ([b"x"], "binary")]
)
def test_a_parquet_column_that_no_flat_event_holds_is_named(column: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"column 'x' is {said}"):
        rows(tmp_path, x=column)


def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="two columns are named 'x'"):
        payloads(tmp_path / "a.parquet")


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"none", lambda data: b""])
def test_a_damaged_parquet_file_is_named(damage: Damage, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(damage((tmp_path / "a.parquet").read_bytes()))
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read"):
        payloads(tmp_path / "a.parquet")


def test_without_pyarrow_the_line_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"pip install 'weir\[parquet\]'"):
        payloads(tmp_path / "a.parquet")


@pytest.mark.parametrize(("name", "pack"), [("A.VW.GZ", gzip.compress), ("A.VW.ZST", zstd)])
def test_endings_in_capitals_are_unpacked_alike(name: str, pack: Damage, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pack(LINES))
    assert payloads(tmp_path / name) == LINES.splitlines()


def test_a_parquet_ending_in_capitals_is_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "X.PARQUET")
    assert payloads(tmp_path / "X.PARQUET") == [b'{"x":1}']


@pytest.mark.parametrize("column", [pa.array([3_000_000], pa.date32()), pa.array([1 << 58], pa.timestamp("us"))])
def test_parquet_dates_that_no_calendar_here_has_are_named(column: "pa.Array", tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read: "):
        rows(tmp_path, x=column)


@pytest.mark.parametrize("name", ["b", "b.parquet"])
def test_a_file_removed_before_its_turn_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    (tmp_path / name).write_bytes(b"2\n")
    reading = FileSource([tmp_path / "a", tmp_path / name], split_lines).batches(10)
    assert next(reading).payloads == [b"1"]
    (tmp_path / name).unlink()
    with pytest.raises(SourceError, match=rf"{name} cannot be read: .*No such file"):
        next(reading)
