"""What somebody who watches sees: figures over time in bounded rows, rates, and frames that nobody waits for."""

import asyncio
import itertools
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weir_process import Weir, closing, synthetic, wait_for

from stream_app.funnel import Figures, Funnel
from stream_app.prediction_log import Kept, PredictionLog
from stream_app.recent import KEEP, Recent
from stream_app.series import BEHIND, MOST_COLUMNS, MOST_ROWS, RESOLUTION, STEP_S, Series
from stream_app.series_file import SeriesFile
from stream_app.watch import MOST_WAITING, Listener, Rates, Seen


@settings(max_examples=10, deadline=None)
@given(calls=st.integers(0, 10 * MOST_ROWS))
def test_a_series_shows_all_of_the_time_in_a_bounded_number_of_rows_the_latest_in_full(calls: int) -> None:
    series = Series(["x"])
    for number in range(calls):
        series.add(number, {"x": number})
        assert len(series.rows) < MOST_ROWS
    numbers = [row[0] for row in series.rows]
    assert numbers == series.numbers
    assert series.rows == [[at, at] for at in numbers]
    assert numbers[-RESOLUTION:] == list(range(calls))[-RESOLUTION:]
    # Thinning waits for MOST_ROWS, and knows the age of then: at most four times as far apart as it would be now.
    for earlier, later in itertools.pairwise([0, *numbers]):
        assert later - earlier <= max(1, 4 * (calls - earlier) / RESOLUTION)


def test_a_series_of_years_stays_bounded() -> None:
    series = Series(["x"])
    for number in range(0, 10 * 365 * 86_400, 50_000):
        series.append(number, [float(number), 1.0])
        for second in range(1, 4):
            series.append(number + second, [float(number + second), 1.0])
    assert len(series.rows) < MOST_ROWS
    assert series.numbers == sorted(set(series.numbers))


ROWS = st.lists(st.tuples(st.floats(0, 2e9), st.dictionaries(st.sampled_from("wxyz"), st.none() | st.floats(-9, 9))))


@given(rows=ROWS, cut=st.integers(0, 60), closes=st.lists(st.integers(0, 20)))
def test_a_file_of_figures_has_after_a_restart_what_was_added_before(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, cut: int, closes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("figures") / "figures.jsonl"
    kept = SeriesFile(path, ["x"])
    expected: list[dict[str, Any]] = []
    for number, (at, figures) in enumerate(rows):
        if number in closes:
            kept = SeriesFile(path, ["x"])
            expected += [{"at": expected[-1]["at"]}] if expected else []
        kept.add(at, figures)
        if expected and expected[-1]["at"] > round(at, 3) + STEP_S:
            continue
        expected = [row for row in expected if row["at"] <= round(at, 3)]  # the clock was set back
        expected.append({"at": round(at, 3)} | {k: float(f"{v:.6g}") for k, v in figures.items() if v is not None})
        assert told(kept.series) == expected
    again = SeriesFile(path, ["y", "x"]).series
    assert again.columns[:2] == ["y", "x"]
    assert told(again) == expected + ([{"at": expected[-1]["at"]}] if expected else [])
    if rows:
        path.write_bytes(path.read_bytes()[: -1 - cut])  # torn: what comes before is there
        torn = told(SeriesFile(path, ["x"]).series)[:-1]
        assert torn == expected[: len(torn)]


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_file_of_figures_with_a_wrong_byte_takes_nothing_down(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("figures") / "figures.jsonl"
    kept = SeriesFile(path, ["loss", "lag"])
    for number in range(20):
        kept.add(1.8e9 + number, {"loss": 0.5, "lag": number})
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(data)
    again = SeriesFile(path, ["loss", "lag"])
    again.add(1.9e9, {"loss": 0.25})
    assert again.series.rows[-1][:2] == [1.9e9, 0.25]


def test_a_gap_stays_a_gap_however_often_rows_are_thinned() -> None:
    series = Series(["x"])
    for number in range(1_000):
        series.add(number, {"x": 1.0})
    series.append(1_000, [999.0, None])
    for number in range(10 * MOST_ROWS):
        series.add(90_000.0 + number, {"x": 2.0})
        assert len(series.rows) < MOST_ROWS
    gap = next(place for place, row in enumerate(series.rows) if row[1] is None)
    assert (series.rows[gap - 1][1], series.rows[gap + 1][1]) == (1.0, 2.0)
    assert sum(row[1] is None for row in series.rows) == 1


def test_a_service_that_is_restarted_again_and_again_has_a_bounded_number_of_rows(tmp_path: Path) -> None:
    series, number = Series(["x"]), 0
    for _ in range(8_000):
        series.append(number, [float(number), 1.0])
        series.append(number + 1, [float(number), None])
        number += 2
        assert len(series.rows) < MOST_ROWS


def test_columns_of_figures_that_are_no_longer_there_make_room_for_new_ones(tmp_path: Path) -> None:
    kept = SeriesFile(tmp_path / "figures.jsonl", ["x"])
    for number in range(5 * MOST_COLUMNS):
        kept.add(number, {"x": 1.0, f"shadow-{number}": number, "stays": 3.0})
        assert told(kept.series)[-1] == {"at": number, "x": 1.0, f"shadow-{number}": number, "stays": 3.0}
        assert len(kept.series.columns) <= MOST_COLUMNS
    again = SeriesFile(tmp_path / "figures.jsonl", ["x"])
    assert told(again.series)[:-1] == told(kept.series)
    assert [row["stays"] for row in told(kept.series)] == [3.0] * len(kept.series.rows)


def test_a_moment_of_a_wrong_clock_takes_no_figures_away(tmp_path: Path) -> None:
    kept = SeriesFile(tmp_path / "figures.jsonl", ["x"])
    for number in range(50):
        kept.add(1.8e9 + number, {"x": number})
    assert kept.add(1_000.0, {"x": 0.0}) == [1_000.0, 0.0]
    kept.add(1.8e9 + 60, {"x": 60})
    assert len(kept.series.rows) == 51
    for number in range(BEHIND + 1):  # it was right, and the one before was not
        kept.add(1.7e9 + number, {"x": number})
    assert kept.series.rows == [[1.7e9 + BEHIND, BEHIND]]
    assert told(SeriesFile(tmp_path / "figures.jsonl", ["x"]).series)[0]["at"] == 1.7e9 + BEHIND


def test_figures_are_told_where_the_disk_takes_none_and_are_written_when_it_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "figures.jsonl"
    kept = SeriesFile(path, ["x"])
    for number in range(3):
        assert kept.add(number, {"x": 1.0}) == [number, 1.0]
    assert caplog.text.count("figures over time cannot be written") == 1
    path.parent.mkdir()
    kept.add(3.0, {"x": 2.0})
    assert len(told(SeriesFile(path, ["x"]).series)) == 4 + 1
    path.write_bytes(b"x" * (17 << 20))
    assert told(SeriesFile(path, ["x"]).series) == []
    assert "figures over time begin anew" in caplog.text


def told(series: Series) -> list[dict[str, Any]]:
    """What is known at each time."""
    names = ["at", *series.columns]
    return [{name: value for name, value in zip(names, row, strict=False) if value is not None} for row in series.rows]


def test_a_figure_that_is_new_gets_a_column_of_its_own_behind_the_others() -> None:
    series = Series(["x"])
    series.add(0.0, {"x": 1.0})
    assert series.add(1.0, {"x": 2.0, "y": 3.0}) == [1.0, 2.0, 3.0]
    assert series.add(2.0, {"y": None}) == [2.0, None, None]
    assert (series.columns, series.rows[0]) == (["x", "y"], [0.0, 1.0])


def test_rates_are_per_second_and_none_where_nothing_is_known_or_a_counter_began_anew() -> None:
    rates = Rates()
    assert rates.of(10.0, {"x": 5}) == {"x": None}
    assert rates.of(12.0, {"x": 9}) == {"x": 2.0}
    assert rates.of(13.0, {"x": 0}) == {"x": None}
    assert rates.of(13.0, {"x": 1}) == {"x": None}


def test_quantiles_are_of_the_latest_numbers_alone() -> None:
    recent = Recent()
    assert recent.quantiles() == {"p50": None, "p90": None, "p99": None}
    for number in range(3 * KEEP):
        recent.add(number)
    assert recent.quantiles()["p50"] == 3 * KEEP - KEEP / 2 - 0.5


def test_a_listener_that_does_not_listen_is_dropped_and_holds_a_bounded_number_of_frames() -> None:
    listener, seen = Listener(), Seen(b"frame", b"status")
    for _ in range(MOST_WAITING):
        listener.tell(seen)
    assert not listener.is_dropped
    listener.tell(seen)
    assert (listener.is_dropped, listener.frames.qsize()) == (True, MOST_WAITING)


def test_the_funnel_counts_over_restarts(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(3, 1e9))
    for number in range(6):
        log.put(str(number), b"event")
    log.put(log.new_id(), b"event", is_unnamed=True)
    log.labelled(log.get("5") or pytest.fail("forgotten"), 1)
    for what in ("late", "orphan", "duplicate", "orphan"):
        log.count(what)
    expected = Figures(
        predicted=6, waiting=1, in_time=1, late=1, expired=4, duplicate=1, orphan=2,
        delay_s={"p50": None, "p90": None, "p99": None},
    )  # fmt: skip
    assert Funnel(log).figures(None) == expected
    assert expected.predicted == (expected.waiting or 0) + (expected.in_time or 0) + (expected.expired or 0)
    copy = tmp_path.with_name(f"{tmp_path.name}-killed")
    shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("LOCK"))
    log.close()
    log = PredictionLog(copy, Kept(3, 1e9))
    funnel = Funnel(log)
    assert funnel.figures(None) == expected
    funnel.delays.add(3.0)
    assert funnel.figures(None).delay_s["p99"] == 3.0
    elsewhere = funnel.figures({"joined": 7, "late_labels": 1, "expired_labels": 2, "waiting": 4})
    assert (elsewhere.in_time, elsewhere.late, elsewhere.orphan, elsewhere.waiting) == (7, 1, 2, 4)
    log.close()


def test_a_label_that_comes_after_its_prediction_expired_is_late_one_of_nothing_an_orphan(tmp_path: Path) -> None:
    service = Weir(tmp_path, predictions={"keep_s": 0.2})
    with closing(service):
        service.start().post("/predict", {"id": "one", "features": {}})
        wait_for(lambda: service.get("/predictions/one").status == 404)
        late = service.post("/labels", {"id": "one", "label": 1})
        assert (late.status, "too long ago" in late.body["error"]["message"]) == (404, True)
        assert service.post("/labels", {"id": "two", "label": 1}).status == 404
        found = wait_for(lambda: (now := service.get("/watch").body["frame"]["funnel"])["orphan"] and now)
        assert (found["predicted"], found["late"], found["orphan"], found["in_time"]) == (1, 1, 1, 0)
        assert service.stop() == 0


def test_each_second_has_a_frame_whose_figures_are_those_of_the_status(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(500)))
        service.wait_learnt(500)
        status = service.status()
        seen = wait_for(lambda: (now := service.get("/watch").body)["frame"]["status"]["lag"] == 0 and now)
        seen = wait_for(lambda: (now := service.get("/watch").body)["frame"]["status"]["examples"] == 500 and now)
        row = dict(zip(seen["columns"], seen["frame"]["row"], strict=True))
        assert row["loss"] == pytest.approx(status["average_loss"], rel=1e-5)
        assert (row["lag"], row["at"], len(row)) == (0, seen["frame"]["at"], seen["frame"]["columns"])
        assert seen["frame"]["latency_s"]["servable"]["p50"] > 0
        rows = wait_for(lambda: len(now := service.get("/watch").body["rows"]) >= 3 and now)
        assert [values[0] for values in rows] == sorted({values[0] for values in rows})
        assert service.stop() == 0


def test_figures_over_time_go_on_after_kill_9(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(500)))
        service.wait_learnt(500)
        before = wait_for(lambda: (rows := service.get("/watch").body["rows"])[-1][1] is not None and rows)
        service.kill()
        service.start()
        after = wait_for(lambda: len(rows := service.get("/watch").body["rows"]) > len(before) + 2 and rows)
        assert after[: len(before)] == before
        gap = next(row for row in after[len(before) :] if set(row[1:]) == {None})
        assert before[-1][0] <= gap[0] < after[-1][0]
        assert service.stop() == 0


async def test_ten_tabs_are_told_whatever_one_does_that_reads_nothing(tmp_path: Path) -> None:
    service = Weir(tmp_path, shadows={"learners": {f"s{number}": {"args": ""} for number in range(2)}})
    with closing(service):
        service.start()
        tabs = [await asyncio.open_connection("127.0.0.1", int(service.port)) for _ in range(10)]
        for _, writer in tabs:
            writer.write(b"GET /watch/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deaf = socket.create_connection(("127.0.0.1", int(service.port)))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
        deaf.sendall(b"GET /watch/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for reader, _ in tabs:
            frames = [line async for line in _frames(reader, 3)]
            assert [frame["status"]["model"] for frame in frames] == ["live@0:0"] * 3
        for _, writer in tabs:
            writer.close()
        deaf.close()
        assert await asyncio.to_thread(service.stop) == 0


async def _frames(reader: asyncio.StreamReader, count: int):
    while count:
        line = await reader.readline()
        if line.startswith(b"data: "):
            count -= 1
            yield json.loads(line.removeprefix(b"data: "))
