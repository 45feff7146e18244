"""Backfills by the real program: killed anywhere, or stopped by damage, they end in the same bytes."""

import contextlib
import gzip
import json
import os
import pty
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from backfill_runs import ARGS, TIMED, backfilled, broken_off, killed_after_a_checkpoint, train, written
from weir_process import WEIR, Weir, closing, run_weir, synthetic, wait_for


class Files:
    """History in one format, plain or packed: `rows` events over two files, every 997th of them bad."""

    def __init__(self, folder: Path, kind: str, rows: int) -> None:
        folder.mkdir()
        self.settings: dict[str, dict[str, object]] = {"schema": {"label": "y"}, "learner": {"args": f"{ARGS} -q ab"}}
        self.events = [flat(number) for number in range(rows)]
        halves = [self.events[: rows // 3], self.events[rows // 3 :]]
        write: Callable[[Path, list[dict[str, Any]]], Path] = getattr(self, f"_{kind}")
        self.paths = [str(write(folder / f"part-{number}", half)) for number, half in enumerate(halves)]

    def _csv(self, path: Path, events: list[dict[str, Any]]) -> Path:
        lines = [",".join(events[0]), *(",".join(map(str, event.values())) for event in events)]
        return written(path.with_suffix(".csv.gz"), gzip.compress("\n".join(lines).encode()))

    def _vw(self, path: Path, events: list[dict[str, Any]]) -> Path:
        self.settings = {"learner": {"args": f"{ARGS} -q ff"}}
        lines = [
            f"{e['y'] if e['y'] == 'bad' else 2 * e['y'] - 1} |f n:{e['n']} {e['carrier']} {e['origin']}"
            for e in events
        ]
        return written(path.with_suffix(".vw"), "\n".join(lines).encode())

    def _json(self, path: Path, events: list[dict[str, Any]]) -> Path:
        self.settings["schema"] = {"label": "y", "id": "id"}
        lines = "\n".join(json.dumps(event) for event in events)
        return written(path.with_suffix(".jsonl.zst"), zstandard.ZstdCompressor().compress(lines.encode()))

    def _parquet(self, path: Path, events: list[dict[str, Any]]) -> Path:
        rows = [{**event, "y": None if event["y"] == "bad" else event["y"]} for event in events]
        for row, event in zip(rows, events, strict=True):
            row["n"] = float("nan") if event["y"] == "bad" else float(event["n"])
        pq.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"), row_group_size=5_000)
        return path.with_suffix(".parquet")


def flat(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    label: int | str = int(chance.random() < 0.3) if number % 997 else "bad"
    identity = number - 5 if number % 101 == 0 else number
    return {
        "id": f"e{identity}", "y": label, "n": number % 7,
        "carrier": chance.choice("ABCDEF"), "origin": f"O{chance.randrange(40)}",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "vw", "json", "parquet"])
def test_killed_at_random_moments_a_backfill_ends_in_the_bytes_of_one_never_killed(kind: str, tmp_path: Path) -> None:
    files = Files(tmp_path / "files", kind, 40_000)
    settings = {**files.settings, "checkpoints": {"every_events": 300}}
    never, chance, kills, tries = Weir(tmp_path / "never", **settings), random.Random(kind), 0, 0
    figures = train(never, *files.paths, "--backfill")
    while kills < 3 and tries < 20:  # it may have ended before, where this test waits for its turn
        killed = Weir(tmp_path / f"killed {tries}", **settings)
        kills, tries = 0, tries + 1
        while kills < 4 and killed_after_a_checkpoint(killed, files.paths, chance):
            kills += 1
    assert kills >= 3, "it had ended before it could be killed"
    assert train(killed, *files.paths, "--resume") == figures
    assert killed.deciding() == never.deciding()
    assert figures["dead_letters"] == 41
    letters = [(service.checkpoints / "dead_letters.jsonl").read_bytes() for service in (killed, never)]
    assert letters[0] == letters[1]
    assert letters[0].count(b"\n") == 41
    assert killed.manifest().backfill == never.manifest().backfill


def test_a_file_that_is_cut_off_is_gone_on_with_once_it_is_whole(tmp_path: Path) -> None:
    service, path = broken_off(tmp_path / "broken")
    whole = Weir(tmp_path / "whole")
    written(path, b"[\n" + b",\n".join(synthetic(450)) + b"]\n")
    figures = train(service, str(path), "--resume")
    assert figures["examples"] == 450
    assert train(whole, str(path), "--backfill") == figures
    assert service.deciding() == whole.deciding()


def test_a_file_that_was_changed_is_refused_by_name(tmp_path: Path) -> None:
    service, path = broken_off(tmp_path)
    head = service.head()
    written(path, path.read_bytes().replace(b'"e17"', b'"x17"'))
    ran = service.command("train", str(path), "--resume")
    assert ran.code == 2
    assert f"{path} is not what was learnt: its first 300 records have changed" in ran.err.splitlines()[-1]
    assert service.head() == head


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "a.jsonl").write_bytes(b"{}\n"), "a.jsonl has 3 bytes, but had"),
        (lambda folder: (folder / "b.json").write_bytes(b"[]"), "b.json ends after 0 records, but 20 were learnt"),
        (lambda folder: (folder / "b.json").write_bytes(b"["), "the array that begins on the first line is not closed"),
    ],
)
def test_files_that_hold_less_or_others_are_refused_by_name(
    change: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    service = Weir(tmp_path)
    first = written(tmp_path / "a.jsonl", b"\n".join(synthetic(30)))
    second = written(tmp_path / "b.json", b"[" + b",".join(synthetic(20, first=30)) + b",")
    assert service.command("train", str(first), str(second), "--backfill").code == 2
    change(tmp_path)
    ran = service.command("train", str(first), str(second), "--resume")
    assert ran.code == 2
    assert said in ran.err.splitlines()[-1]


def test_files_in_another_order_are_refused_and_further_ones_are_learnt(tmp_path: Path) -> None:
    service, path = broken_off(tmp_path)
    more = written(tmp_path / "more.json", b"\n".join(synthetic(50, first=300)))
    ran = service.command("train", str(more), str(path), "--resume")
    assert "FILE 1 is" in ran.err.splitlines()[-1]
    written(path, path.read_bytes().rstrip(b",\n") + b"]")
    assert train(service, str(path), str(more), "--resume")["examples"] == 350


def test_resume_begins_where_nothing_is_and_says_so_where_all_is_done(tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(40))
    figures = train(service, path, "--resume")
    head = service.head()
    Path(path).unlink()
    again = service.command("train", path, "--resume", "--json")
    assert again.code == 0
    assert "is finished" in again.err.splitlines()[0]
    assert {name: value for name, value in json.loads(again.out).items() if name not in TIMED} == figures
    assert service.head() == head


def test_predictions_are_refused_together_with_resume(tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(40))
    ran = service.command("train", path, "--resume", "-p", str(tmp_path / "predictions"))
    assert ran.code == 2
    assert "--predictions: cannot go with --resume" in ran.err
    assert not (tmp_path / "predictions").exists()


def test_a_learner_that_does_not_resume_exactly_says_so(tmp_path: Path) -> None:
    service, _ = backfilled(tmp_path, [], learner={"args": "--loss_function logistic --link logistic --nn 2"})
    path = written(tmp_path / "cut.json", b"[" + b",".join(synthetic(30)))
    assert service.command("train", str(path), "--backfill").code == 2
    written(path, path.read_bytes() + b"]")
    ran = service.command("train", str(path), "--resume")
    assert ran.code == 0
    assert "does not resume exactly" in ran.err.splitlines()[1]


def test_dead_letters_are_kept_with_file_record_and_bytes(tmp_path: Path) -> None:
    good = b'{"label": 1, "features": {"a": 1}}'
    for name, bad in (("a.jsonl", b'{"label": "x", "features": {}}'), ("b.jsonl", b"\xff{")):
        written(tmp_path / name, b"\n".join([good, bad, good]))
    letters = tmp_path / "letters.jsonl"
    paths = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    assert run_weir("train", *paths, "--dead-letters", str(letters)).code == 0
    first, second = map(json.loads, letters.read_text().splitlines())
    assert (first["file"], first["record"], first["offset"]) == (paths[0], 2, 1)
    assert first["payload"] == '{"label": "x", "features": {}}'
    assert (second["file"], second["record"], second["payload_base64"]) == (paths[1], 2, "/3s=")
    assert "label" in first["reason"]


def test_the_format_is_told_by_the_names_of_files_where_nothing_else_says_it(tmp_path: Path) -> None:
    lines = zstandard.ZstdCompressor().compress(b"1 |f a\n-1 |f b\n")
    path = written(tmp_path / "a.DAT.zst".lower(), lines)
    assert json.loads(run_weir("train", str(path), "--json").out)["examples"] == 2
    rows = written(tmp_path / "b.tsv", b"y\ta\n1\tx\n0\ty\n")
    assert json.loads(run_weir("train", str(rows), "--label", "y", "--json").out)["examples"] == 2
    ran = run_weir("train", str(path), str(rows))
    assert ran.code == 2
    assert "a.dat.zst is vw by its name" in ran.err or "b.tsv is tsv by its name" in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_backfill_that_is_told_to_stop_keeps_what_it_has_learnt(number: signal.Signals, tmp_path: Path) -> None:
    code, count = 0, 30_000
    while not code and count < 1_000_000:  # it may have ended before it was told, where this test waits for its turn
        count *= 2
        service, path = backfilled(tmp_path / str(count), synthetic(count), learner={"args": ARGS})
        command = [WEIR, "train", path, "--backfill", "-c", str(service.toml)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            wait_for((service.checkpoints / "HEAD").exists)
            process.send_signal(number)
            _, said = process.communicate()
        code = process.returncode
    assert code == 1
    assert said.splitlines()[-2:] == ["weir: what was learnt so far is kept; go on with --resume", "weir: interrupted"]
    learnt = service.manifest().position.get(0, 0)
    assert 0 < learnt < count
    assert train(service, path, "--resume")["examples"] == count


def test_on_a_terminal_a_bar_tells_how_much_of_the_files_has_been_read(tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(3_000))
    ours, theirs = pty.openpty()
    command = [WEIR, "train", path, "-c", str(service.toml)]
    with subprocess.Popen(command, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 1 << 16):
                said += piece
    os.close(ours)
    assert process.returncode == 0
    assert b"learning" in said
    assert b"number of examples = 3000" in said


def test_a_model_that_was_not_learnt_from_files_is_not_gone_on_with(tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(10))
    with closing(service):
        service.start().post("/events", synthetic(1)[0])
        service.wait_learnt(1)
        assert service.stop() == 0
    ran = service.command("train", path, "--resume")
    assert ran.code == 2
    assert "holds a model that was not learnt from files" in ran.err


def test_a_place_for_dead_letters_that_is_none_is_said_before_anything_is_learnt(tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(10))
    ran = service.command("train", path, "--backfill", "--dead-letters", str(tmp_path / "none" / "letters"))
    assert ran.code == 2
    assert "there is no folder" in ran.err
    assert not service.checkpoints.exists()


def test_the_rest_of_the_files_is_not_learnt_by_another_schema(tmp_path: Path) -> None:
    service, path = broken_off(tmp_path)
    service.configure(schema={"drop": ["n"]})
    ran = service.command("train", str(path), "--resume")
    assert ran.code == 2
    assert "schema.drop is ['n'], but was []" in ran.err
