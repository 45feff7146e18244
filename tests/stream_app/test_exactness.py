"""Real flights by every way into the model: the loss is VW's own, and the weights do not depend on the way."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from weir_process import Weir, closing, run_weir

from stream_app import config, wiring

FLIGHTS = Path(__file__).parents[2].parent / "shared" / "data" / "allyears2k.csv"
VW_ARGS = "--loss_function logistic --link logistic"
FEATURES = [
    "Year", "Month", "DayofMonth", "DayOfWeek", "CRSDepTime", "CRSArrTime", "UniqueCarrier", "CRSElapsedTime",
    "Origin", "Dest", "Distance",
]  # fmt: skip
RARE = ["FlightNum", "TailNum"]
BARE_VW = """
import sys, vowpalwabbit
vw = vowpalwabbit.Workspace(sys.argv[2] + " --quiet")
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
for line in lines:
    vw.learn(line)
print(vw.get_sum_loss() / len(lines))
"""

pytestmark = pytest.mark.skipif(not FLIGHTS.exists(), reason=f"the airline data are not there: {FLIGHTS}")


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    with FLIGHTS.open(encoding="iso-8859-1", newline="") as file:
        return list(csv.reader(file))


def settings_of(format_: str, columns: list[str]) -> dict[str, dict[str, Any]]:
    known_before = {*FEATURES, *RARE, "IsDepDelayed"}
    late = {name: {"available_at": "label"} for name in columns if name not in known_before}
    schema = {"label": "IsDepDelayed", "labels": {"YES": 1, "NO": -1}, "missing": ["NA"], "drop": RARE, "fields": late}
    events: dict[str, Any] = {"format": format_}
    if format_ == "csv":
        events |= {"columns": columns, "encoding": "iso-8859-1"}
    return {
        "learner": {"args": VW_ARGS},
        "schema": {**schema, "namespaces": {"f": FEATURES}, "unlisted": "drop"},
        "events": events,
        "checkpoints": {"every_events": 10_000},
    }


def as_json(rows: list[list[str]], path: Path) -> Path:
    """One flat JSON object a line, numbers as numbers."""
    columns, *flights = rows
    with path.open("w", encoding="utf-8") as file:
        for flight in flights:
            event = {name: int(cell) if cell.isdigit() else cell for name, cell in zip(columns, flight, strict=True)}
            file.write(json.dumps(event) + "\n")
    return path


def bare_vw(service: Weir, path: Path, folder: Path) -> float:
    """Average loss of a bare binding, in a process of its own, fed with the lines that the format makes."""
    settings = config.load(str(service.toml), environment={})
    format_ = wiring.build_format(settings, wiring.build_learner(settings).traits)
    with path.open("rb") as file:
        decoded = format_.decode(list(format_.split(file)))
    assert not decoded.dead
    lines = folder / "lines.vw"
    lines.write_bytes(b"\n".join(example.text for example in decoded.examples))
    run = subprocess.run([sys.executable, "-c", BARE_VW, str(lines), VW_ARGS], capture_output=True, check=True)
    return float(run.stdout)


def trained(service: Weir, path: Path) -> tuple[float, bytes]:
    """By `weir train`: average loss, learner."""
    out = service.folder / "out"
    ran = run_weir("train", str(path), "-c", str(service.toml), "--out", str(out), "--json")
    assert ran.code == 0, ran
    answer = json.loads(ran.out)
    return answer["average_loss"], (out / "objects" / answer["checkpoint"] / "learner").read_bytes()


def served(service: Weir, path: Path) -> tuple[float, bytes]:
    """By a running service: CSV posted to it in bodies of many rows, JSON sent by `weir produce`."""
    with closing(service):
        service.start()
        if path.suffix == ".csv":
            lines = path.read_bytes().splitlines()[1:]
            for first in range(0, len(lines), 5000):
                assert service.post("/events", b"\n".join(lines[first : first + 5000])).status == 202
        else:
            assert service.command("produce", str(path), "--to", service.url).code == 0
        status = service.wait_learnt(43_978)
        model_id = service.checkpoint()
        return status["average_loss"], service.blob("learner", model_id)


def test_four_ways_give_the_loss_of_a_bare_vw_and_one_learner(rows: list[list[str]], tmp_path: Path) -> None:
    ways = {
        "csv": (Weir(tmp_path / "csv", **settings_of("csv", rows[0])), FLIGHTS),
        "json": (Weir(tmp_path / "json", **settings_of("json", rows[0])), as_json(rows, tmp_path / "flights.jsonl")),
    }
    expected = bare_vw(*ways["csv"], tmp_path)
    assert expected == bare_vw(*ways["json"], tmp_path)
    assert expected == pytest.approx(0.6076, abs=5e-4)
    results = [trained(*way) for way in ways.values()] + [served(*way) for way in ways.values()]
    assert [round(loss, 6) for loss, _ in results] == [round(expected, 6)] * 4
    assert len({learner for _, learner in results}) == 1
