"""Rows that learn: VW text from a file and from the embedded log, JSON events from the embedded log."""

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from tools.bench.backlog import ARGS
from tools.bench.children import TIMEOUT_S, in_child
from tools.bench.row import BenchError, Figure, Measured, Note, Row, Run, alternate, compared
from tools.bench.stream import json_events, vw_line, vw_lines

RATE = "events/s"


def rows() -> list[Row]:
    """The rows of this subject."""
    return [
        Row(
            "vw-file", "VW text from a file, learnt, progressive table: `weir train FILE --format vw`",
            "`python -m vowpalwabbit -d FILE`, its own work", "at least", 0.5, "x", vw_file,
        ),
        Row(
            "csv-file", "CSV from a file, learnt: `weir train FILE.csv`", "a bare csv.reader loop", "at most", 4.0, "x",
            csv_file,
        ),
        Row(
            "vw-log", "VW text from the embedded log, learnt, with metrics and checkpoints",
            "bare loop: ws.learn(line)", "at least", 2.0, "x", vw_log,
        ),
        Row(
            "json-log", "JSON events from the embedded log, learnt, with metrics and checkpoints",
            "bare loop: orjson, generic join, ws.learn(line)", "at least", 1.5, "x", json_log,
        ),
        Row(
            "river", "the same",
            "river: StandardScaler + OneHotEncoder + LogisticRegression; predict, score, learn", "at least", 6.0, "x",
            river,
        ),
    ]  # fmt: skip


def vw_file(run: Run) -> Measured:
    """Both as processes, start-up taken off: `weir train` says how long it learnt, VW is timed from within."""
    path = run.folder / f"learn-{run.passes}.vw"
    if not path.exists():
        path.write_bytes(b"".join(line + b"\n" for line in vw_lines(run.stream.vw, run.passes)))
    events = run.passes * run.stream.events

    def ours() -> dict[str, float]:
        weir = str(Path(sys.executable).with_name("weir"))
        return _process([weir, "train", str(path), "--format", "vw", "--vw-args", ARGS, "--json"], run.folder)

    def reference() -> dict[str, float]:
        process = _process([sys.executable, "-m", "vowpalwabbit", "-d", str(path), *ARGS.split()], run.folder)
        native: dict[str, float] = in_child("learn:native", path=str(path), events=events)
        return process | native

    mine, theirs = alternate(run, run.repeats, ours, reference)
    if any(one["examples"] != events for one in mine):
        raise BenchError(f"weir train learnt {mine[0]['examples']} of {events} lines")
    return compared(
        RATE,
        [events / one["seconds"] for one in mine],
        [events / one["seconds"] for one in theirs],
        events=events,
        ours_with_start_up=events / min(one["process_s"] for one in mine),
        reference_with_start_up=events / min(one["process_s"] for one in theirs),
    )


def csv_file(run: Run) -> Measured:
    """Start-up taken off; in the notes, with `--out`: metrics, names of features and the checkpoint at the end."""
    path = run.stream.csv
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream)
        label = next(rows)[-1]
        values = sorted({row[-1] for row in rows}, reverse=True)
    labels = ",".join(f"{value}={learnt}" for value, learnt in zip(values, (1, -1), strict=True))
    command = [str(Path(sys.executable).with_name("weir")), "train", str(path), "--format", "csv"]
    command += ["--label", label, "--labels", labels, "--vw-args", ARGS, "--json"]

    def ours() -> dict[str, float]:
        return _process(command, run.folder)

    def kept() -> float:
        with tempfile.TemporaryDirectory(dir=run.folder) as out:
            return _process([*command, "--out", f"{out}/models"], run.folder)["seconds"]

    mine, theirs = alternate(run, run.repeats + 3, ours, lambda: in_child("convert:read", path=str(path)))
    if any(one["examples"] != run.stream.events for one in mine):
        raise BenchError(f"weir train learnt {mine[0]['examples']} of {run.stream.events} rows")
    figures = [Figure.times("s", [one["seconds"] for one in side]) for side in (mine, theirs)]
    notes: dict[str, Note] = {
        "events_per_s": run.stream.events / figures[0].best,
        "ratio_of_medians": figures[0].median / figures[1].median,
        "kept_s": min(kept() for _ in range(run.repeats)),
        "ours_process_s": min(one["process_s"] for one in mine),
    }
    return Measured(figures[0], figures[1], figures[0].best / figures[1].best, notes)


def vw_log(run: Run) -> Measured:
    """The whole service on VW text against pyvw's `learn`, lines in memory."""
    return _against(run, "vw", "learn:bare_vw", run.passes)


def json_log(run: Run) -> Measured:
    """The whole service on JSON events against the loop that one would write first."""
    return _against(run, "json", "learn:bare_json", run.passes)


def river(run: Run) -> Measured:
    """The whole service on JSON events against river on the same events, of which it gets fewer: it is slow."""
    return _against(run, "json", "learn:bare_river", 1)


def native(path: str, events: int) -> dict[str, float]:
    """VW's own driver on a file, in this process."""
    import vowpalwabbit

    started = time.perf_counter()
    workspace = vowpalwabbit.Workspace(f"{ARGS} -d {path}")
    learnt = workspace.get_weighted_examples()
    workspace.finish()
    seconds = time.perf_counter() - started
    if learnt != events:
        raise BenchError(f"VW learnt {learnt} of {events} lines")
    return {"seconds": seconds}


def bare_vw(path: str, passes: int) -> dict[str, float]:
    """One line after the other through pyvw."""
    import vowpalwabbit

    lines = [line.decode() for line in vw_lines(Path(path), passes)]
    workspace = vowpalwabbit.Workspace(f"{ARGS} --quiet")
    started = time.perf_counter()
    for line in lines:
        workspace.learn(line)
    return {"events": len(lines), "seconds": time.perf_counter() - started}


def bare_json(path: str, passes: int) -> dict[str, float]:
    """One event after the other: decoded, joined to a line, learnt."""
    import vowpalwabbit

    events = list(json_events(Path(path), passes))
    workspace = vowpalwabbit.Workspace(f"{ARGS} --quiet")
    started = time.perf_counter()
    for event in events:
        workspace.learn(vw_line(orjson.loads(event)))
    return {"events": len(events), "seconds": time.perf_counter() - started}


def bare_river(path: str, passes: int) -> dict[str, float]:
    """One event after the other: decoded, predicted, scored, learnt."""
    from river import compose, linear_model, metrics, preprocessing

    numbers = compose.SelectType(float, int) | preprocessing.StandardScaler()
    model = (
        numbers + (compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True))
    ) | linear_model.LogisticRegression()
    loss = metrics.LogLoss()
    events = list(json_events(Path(path), passes))
    started = time.perf_counter()
    for payload in events:
        event = orjson.loads(payload)
        features = {name: value for group in event["features"].values() for name, value in group.items()}
        loss.update(event["label"], model.predict_proba_one(features))
        model.learn_one(features, event["label"])
    return {"events": len(events), "seconds": time.perf_counter() - started}


def _against(run: Run, format_: str, reference: str, passes: int) -> Measured:
    log = run.log("vw" if format_ == "vw" else "json", run.passes)
    path = run.stream.vw if format_ == "vw" else run.stream.json

    def ours() -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=run.folder) as home:
            learnt: dict[str, float] = in_child("backlog:learn", log=str(log), home=home, format_=format_)
        if learnt["learnt"] != run.passes * run.stream.events:
            raise BenchError(f"the service did not learn every event: {learnt}")
        return learnt

    mine, theirs = alternate(run, run.repeats, ours, lambda: in_child(reference, path=str(path), passes=passes))
    rates = [[one["events"] / one["seconds"] for one in side] for side in (mine, theirs)]
    return compared(RATE, *rates, events=mine[0]["events"], reference_events=theirs[0]["events"],
                    checkpoints=mine[0]["checkpoints"])  # fmt: skip


def _process(command: list[str], folder: Path) -> dict[str, float]:
    """Seconds of a whole process, and what it says in JSON, if anything."""
    started = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, cwd=folder, timeout=TIMEOUT_S, check=False)
    seconds = time.perf_counter() - started
    if ran.returncode:
        raise BenchError(f"{' '.join(command)} failed: {ran.stderr.decode(errors='replace')[-2000:]}")
    said: dict[str, float] = orjson.loads(ran.stdout) if ran.stdout.startswith(b"{") else {}
    return said | {"process_s": seconds}
