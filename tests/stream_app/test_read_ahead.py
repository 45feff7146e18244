"""Reading in a process of its own: what arrives is what reading here gives, and nobody waits for a dead process."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from formats.csv_row import CsvRow
from formats.format import Format
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.schema import Schema
from formats.vw_text import VwText
from stream_app import read_ahead as reading
from stream_app.read_ahead import ReadBatch, read_ahead
from stream_app.sources.file import FileSource
from stream_app.sources.source import SourceError

LINES: dict[str, tuple[Callable[[], Format], Callable[[int], str]]] = {
    "vw": (lambda: VwText(Labels()), lambda n: f"{n % 2} {1 + n % 3} tag{n}|f a:{n} b=x{n}" if n % 50 else "1 no bar"),
    "vw groups": (lambda: VwText(Labels("bandit"), is_multiline=True), lambda n: "" if n % 3 == 0 else f"| a:{n}"),
    "csv": (lambda: CsvRow(Labels(), Schema(label="y")), lambda n: f"{n % 2},é{n},{n}" if n else "y,a,b"),
    "csv features": (
        lambda: CsvRow(Labels(), Schema(label="y", id="a"), "features"),
        lambda n: f"{n % 2},{n}" if n else "y,a",
    ),
    "json": (
        lambda: JsonEvent(Labels()),
        lambda n: f'{{"id":"{n}","ts":{n},"features":{{"a":{n},"b":["é","x"]}},"label":{n % 2}}}',
    ),
    "json envelopes": (
        lambda: JsonEvent(Labels()),
        lambda n: f'[{{"features":{{"a":{n}}},"label":1}},{{"features":{{}}}}]' if n else '{"features":{},"label":1}',
    ),
}


@pytest.fixture(autouse=True)
def _no_child_stays() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def written(folder: Path, line: Callable[[int], str], count: int = 1000) -> FileSource:
    path = folder / "events"
    path.write_text("".join(f"{line(number)}\n" for number in range(count)), encoding="utf-8")
    return FileSource(path, LINES["vw"][0]().split)


def as_said(batches: Iterator[ReadBatch]) -> list[tuple[object, ...]]:
    return [
        (batch.records, list(map(repr, batch.decoded.examples)), batch.decoded.dead, batch.decoded.sizes, batch.place)
        for batch in batches
    ]


@pytest.mark.parametrize("kind", LINES)
def test_what_another_process_reads_is_what_would_be_read_here(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, line = LINES[kind]
    path = written(tmp_path, line).paths[0]
    here, there = build(), build()
    expected = as_said(read_ahead(FileSource(path, here.split), here, 128))
    monkeypatch.setattr(reading, "WORTH_IT_BYTES", 0)
    source = FileSource(path, there.split)
    assert as_said(read_ahead(source, there, 128)) == expected
    assert sum(len(examples) for _, examples, *_ in expected) > 300
    assert source.consumed_bytes == path.stat().st_size


def test_an_error_comes_after_everything_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WORTH_IT_BYTES", 0)
    path = tmp_path / "rows.csv"
    path.write_bytes(b"y,a\n" + b"1,2\n" * 300 + b'1,"' + b"x\n" * (1 << 20))
    format_ = CsvRow(Labels(), Schema(label="y"))
    batches = read_ahead(FileSource(path, format_.split), format_, 128)
    assert [len(next(batches).decoded.examples) for _ in range(3)] == [128, 128, 44]
    with pytest.raises(SourceError, match=r"rows\.csv, line 302: a quote opened"):
        next(batches)


def test_a_killed_reader_is_an_error_not_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WORTH_IT_BYTES", 0)
    batches = read_ahead(written(tmp_path, LINES["vw"][1], 200_000), VwText(Labels()), 128)
    next(batches)
    (child,) = multiprocessing.active_children()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(SourceError, match="ended too early"):
        deque(batches, maxlen=0)


def test_the_reader_ends_when_nobody_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WORTH_IT_BYTES", 0)
    with closing(read_ahead(written(tmp_path, LINES["vw"][1], 200_000), VwText(Labels()), 128)) as batches:
        next(batches)
        assert len(multiprocessing.active_children()) == 1
