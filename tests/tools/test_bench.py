"""The benchmarks run and say what they measured. How fast anything is, no test says."""

import json
from pathlib import Path

from click.testing import CliRunner

from tools.bench.__main__ import ROWS, main
from tools.bench.row import Figure, Measured, Row
from tools.bench.stream import json_events, vw_line

ROW_KEYS = {
    "name", "work", "against", "ours", "reference", "result", "unit", "bound", "target", "is_met", "missed_by", "notes",
}  # fmt: skip


def row(bound: str, target: float) -> Row:
    """A row that nobody measures."""
    figure = Figure.times("s", [1.0])
    return Row("x", "x", "x", bound, target, "x", lambda run: Measured(figure, figure, 1.0))  # type: ignore[arg-type]


def test_a_quick_run_of_one_row_writes_what_it_measured_on_what(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    ran = CliRunner().invoke(main, ["--quick", "--only", "csv2vw", "--json", str(path)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    found = json.loads(path.read_bytes())
    assert found["is_quick"]
    assert found["stream"]
    assert found["seconds"] > 0
    assert {"cpu", "cores", "python", "libraries", "date", "load_before"} <= set(found["machine"])
    assert [one["name"] for one in found["rows"]] == ["csv2vw"]
    assert set(found["rows"][0]) == ROW_KEYS
    assert len(found["rows"][0]["ours"]["all"]) == len(found["rows"][0]["reference"]["all"]) > 1
    assert "csv2vw" in ran.output
    assert "at most 2 x" in ran.output


def test_the_service_learns_every_event_of_a_quick_run(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    CliRunner().invoke(main, ["--quick", "--only", "json-log", "--json", str(path)], catch_exceptions=False)
    (measured,) = json.loads(path.read_bytes())["rows"]
    assert measured["notes"]["events"] > 10_000
    assert measured["notes"]["checkpoints"] > 0


def test_an_unknown_row_is_refused_and_the_known_ones_are_named() -> None:
    ran = CliRunner().invoke(main, ["--only", "nothing"])
    assert ran.exit_code == 2
    assert all(name in ran.output for name in ROWS)


def test_a_result_on_the_target_meets_it_unless_it_must_be_under_it() -> None:
    assert row("at least", 2.0).is_met(2.0)
    assert row("at most", 2.0).is_met(2.0)
    assert not row("under", 2.0).is_met(2.0)


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
