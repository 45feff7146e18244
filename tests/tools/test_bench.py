"""The benchmarks run and say what they measured. How fast anything is, no test says."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tools.bench import follow, predict
from tools.bench.__main__ import ROWS, main
from tools.bench.broker import RunBroker
from tools.bench.row import BenchError, Figure, Measured, Row, Run
from tools.bench.stream import json_events, vw_line
from tools.kafka import missing

ROW_KEYS = {
    "name", "work", "against", "ours", "reference", "result", "unit", "bound", "target", "is_met", "missed_by", "notes",
}  # fmt: skip


KAFKA_ROWS = ["kafka-json", "kafka-envelope", "kafka-append"]


@pytest.fixture
def a_broker() -> None:
    absent = missing()
    if absent is not None:
        pytest.skip(f"no Kafka broker: {absent}")


def quick(folder: Path, *names: str) -> tuple[dict[str, Any], str]:
    """What a quick run of some rows wrote and printed."""
    path = folder / "bench.json"
    only = [argument for name in names for argument in ("--only", name)]
    ran = CliRunner().invoke(main, ["--quick", *only, "--json", str(path)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(path.read_bytes()), ran.output


def port_of(broker: RunBroker) -> int:
    return int(broker.servers.rpartition(":")[2])


def row(bound: str | None, target: float | None) -> Row:
    """A row that nobody measures."""
    figure = Figure.times("s", [1.0])
    return Row("x", "x", "x", bound, target, "x", lambda run: Measured(figure, figure, 1.0))  # type: ignore[arg-type]


def test_a_quick_run_of_one_row_writes_what_it_measured_on_what(tmp_path: Path) -> None:
    found, said = quick(tmp_path, "csv2vw")
    assert found["is_quick"]
    assert found["stream"]
    assert found["seconds"] > 0
    assert {"cpu", "cores", "python", "libraries", "date", "load_before"} <= set(found["machine"])
    assert [one["name"] for one in found["rows"]] == ["csv2vw"]
    assert set(found["rows"][0]) == ROW_KEYS
    assert len(found["rows"][0]["ours"]["all"]) == len(found["rows"][0]["reference"]["all"]) > 1
    assert "csv2vw" in said
    assert "at most 2 x" in said


def test_the_service_learns_every_event_of_a_quick_run(tmp_path: Path) -> None:
    found, _ = quick(tmp_path, "json-log")
    (measured,) = found["rows"]
    assert measured["notes"]["events"] > 10_000
    assert measured["notes"]["checkpoints"] > 0


@pytest.mark.usefixtures("a_broker")
def test_on_kafka_every_event_is_learnt_one_by_one_and_in_envelopes_and_appended(tmp_path: Path) -> None:
    found, said = quick(tmp_path, *KAFKA_ROWS)
    rows = {measured["name"]: measured for measured in found["rows"]}
    assert (found["left_out"], list(rows)) == ({}, KAFKA_ROWS)
    assert rows["kafka-json"]["notes"]["events"] == rows["kafka-envelope"]["notes"]["events"] > 10_000
    assert rows["kafka-append"]["notes"]["events"] > 10_000
    assert all(len(measured["ours"]["all"]) == len(measured["reference"]["all"]) == 2 for measured in rows.values())
    assert [measured["is_met"] for measured in rows.values()][1:] == [None, None]
    assert "at least 0.4 x" in said


def test_where_no_broker_can_run_the_rows_on_kafka_are_left_out_and_one_line_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found, said = quick(tmp_path, *KAFKA_ROWS)
    assert found["rows"] == []
    assert list(found["left_out"]) == KAFKA_ROWS
    reason = "java and mvn not found on the PATH: Kafka runs on Java 17 and comes by Maven"
    assert said.splitlines()[-1] == f"left out: {', '.join(KAFKA_ROWS)}: {reason}"


@pytest.mark.usefixtures("a_broker")
def test_the_broker_of_a_run_is_stopped_also_when_a_row_fails(tmp_path: Path) -> None:
    def fail(broker: RunBroker) -> None:
        socket.create_connection(("127.0.0.1", port_of(broker))).close()
        pids.append(broker._broker.pid)
        raise BenchError("a row")

    broker, pids = RunBroker(tmp_path), list[int]()
    with pytest.raises(BenchError), broker:
        fail(broker)
    assert [Path(f"/proc/{pid}").exists() for pid in pids] == [False]


def test_a_follower_is_asked_while_it_takes_over_checkpoints_and_while_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced, model, seen = predict.paced, follow._model, list[str]()

    def noted(port: int) -> str:
        seen.append(model(port))
        return seen[-1]

    def until_it_takes_one_over(run: Run, port: int) -> list[float]:
        took_ms = paced(run, port)
        while len(seen) == 1 and model(port) == seen[0]:  # a loaded machine may give the learner no turn meanwhile
            took_ms += paced(run, port)
        return took_ms

    monkeypatch.setattr(follow, "_model", noted)
    monkeypatch.setattr(predict, "paced", until_it_takes_one_over)
    found, _ = quick(tmp_path, "follow")
    (measured,) = found["rows"]
    assert measured["notes"]["checkpoints"] > 0
    assert measured["notes"]["requests"] > 100
    assert (measured["target"], measured["is_met"]) == (None, None)


def test_an_unknown_row_is_refused_and_the_known_ones_are_named() -> None:
    ran = CliRunner().invoke(main, ["--only", "nothing"])
    assert ran.exit_code == 2
    assert all(name in ran.output for name in ROWS)


def test_a_result_on_the_target_meets_it_unless_it_must_be_under_it() -> None:
    assert row("at least", 2.0).is_met(2.0)
    assert row("at most", 2.0).is_met(2.0)
    assert not row("under", 2.0).is_met(2.0)


def test_a_row_without_a_target_neither_meets_nor_misses_one() -> None:
    assert row(None, None).is_met(2.0) is None
    assert row(None, None).missed_by(2.0) == 0.0


def test_a_miss_is_a_share_of_the_target() -> None:
    assert row("at least", 2.0).missed_by(1.5) == 0.25
    assert row("at most", 2.0).missed_by(3.0) == 0.5
    assert row("at most", 2.0).missed_by(1.0) == 0.0


def test_every_event_of_a_repeated_stream_has_an_id_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b'{"label":1}\n{"label":0}\n')
    events = [json.loads(event) for event in json_events(tmp_path / "events", 3)]
    assert len({event["id"] for event in events}) == 6
    assert [event["label"] for event in events] == [1, 0] * 3


def test_a_line_says_what_the_event_says() -> None:
    assert vw_line({"label": 0, "features": {"f": {"a": 1.5, "b": "x"}}}) == "-1 |f a:1.5 b=x"
