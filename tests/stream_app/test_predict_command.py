"""`weir predict` as a user runs it: VW's own predictions, formats that are found, and what cannot be read."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_commands import VW_LINES, weir


def vw(*arguments: object, cwd: Path) -> None:
    command = [sys.executable, "-m", "vowpalwabbit", *map(str, arguments), "--quiet"]
    subprocess.run(command, cwd=cwd, check=True)


def trained(folder: Path, lines: list[bytes], args: str = "") -> Path:
    """A model of these lines, as VW's `vw.model` and as Weir's `models`."""
    file = folder / "lines.vw"
    file.write_bytes(b"\n".join(lines) + b"\n")
    weir("train", file, "--vw-args", f"{args} -f vw.model --quiet", "--out", "models", cwd=folder)
    return file


CLASSES = [b"1 |f a:1 b", b"2 'tag|f a:2 d", b"3 tagged|f a", b"|f b d"] * 20


@pytest.mark.parametrize(
    ("lines", "args"),
    [(VW_LINES, ""), (VW_LINES, "--link logistic"), (VW_LINES, "--binary"), (CLASSES, "--oaa 3")],
)
def test_it_prints_what_vw_prints_for_the_same_model(tmp_path, lines, args):
    file = trained(tmp_path, lines, args)
    vw("-d", file, "-t", "-i", "vw.model", "-p", "theirs", cwd=tmp_path)
    weir("predict", file, "--store", "models", "-p", "ours", cwd=tmp_path)
    assert (tmp_path / "ours").read_text() == (tmp_path / "theirs").read_text()
    assert weir("predict", file, "--store", "models", cwd=tmp_path).stdout == (tmp_path / "theirs").read_text()


def test_a_name_that_tells_no_format_is_read_as_the_models_events_were(tmp_path):
    file = trained(tmp_path, VW_LINES)
    expected = weir("predict", file, "--store", "models", cwd=tmp_path).stdout
    assert expected.strip()
    file.rename(tmp_path / "lines")
    assert weir("predict", "lines", "--store", "models", cwd=tmp_path).stdout == expected


def test_the_schema_of_the_model_is_used_where_there_are_no_settings(tmp_path):
    (tmp_path / "rows.csv").write_text("y,a,b\n" + "YES,1,x\nNO,2,y\n" * 30)
    weir("train", "rows.csv", "--label", "y", "--labels", "YES=1,NO=-1", "--out", "models", cwd=tmp_path)
    (tmp_path / "new.csv").write_text("y,a,b\n,1,x\n,2,y\n")
    positive, negative = weir("predict", "new.csv", "--store", "models", cwd=tmp_path).stdout.split()
    assert float(positive) > 0.6 > 0.4 > float(negative)


def test_packed_files_are_unpacked(tmp_path):
    file = trained(tmp_path, VW_LINES)
    expected = weir("predict", file, "--store", "models", cwd=tmp_path).stdout
    (tmp_path / "packed.dat.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert weir("predict", "packed.dat.gz", "--store", "models", cwd=tmp_path).stdout == expected


def test_json_has_the_digits_that_text_has_not(tmp_path):
    file = trained(tmp_path, VW_LINES)
    printed = weir("predict", file, "--store", "models", cwd=tmp_path).stdout.splitlines()
    told = weir("predict", file, "--store", "models", "--json", cwd=tmp_path).stdout.splitlines()
    numbers = [json.loads(line)["prediction"] for line in told]
    rounded = [float(line.split()[0]) for line in printed]
    assert rounded == pytest.approx(numbers, abs=5e-7)
    assert rounded != numbers


def test_reasons_of_the_first_unreadable_events_and_their_number_go_to_stderr(tmp_path):
    trained(tmp_path, VW_LINES)
    (tmp_path / "some.vw").write_text("|f a\nno bar\n|f b\n" + "neither\n" * 20)
    run = weir("predict", "some.vw", "--store", "models", cwd=tmp_path, code=1)
    first, *_, last = run.stderr.splitlines()
    assert first.startswith("some.vw, record 2: no '|'")
    assert last == "21 events of some.vw could not be read: they have no answer"
    assert len(run.stderr.splitlines()) == 11
    answers = run.stdout.split("\n")
    assert [bool(answer) for answer in answers] == [True, False, True] + [False] * 21


def test_where_no_event_can_be_read_the_format_is_called_into_question(tmp_path):
    file = trained(tmp_path, VW_LINES)
    run = weir("predict", file, "--store", "models", "--format", "json", cwd=tmp_path, code=1)
    assert "is the file written as 'json'? --format says otherwise" in run.stderr


def test_every_event_of_an_envelope_has_its_line(tmp_path):
    one = {"features": {"a": 1.0}, "label": 1, "id": "one"}
    lines = [one, [one | {"id": "two"}, one | {"id": "three"}], "bad", one | {"id": "four"}]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    weir("train", "events.jsonl", "--out", "models", cwd=tmp_path)
    run = weir("predict", "events.jsonl", "--store", "models", "--json", cwd=tmp_path, code=1)
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line.get("id", "error") for line in told] == ["one", "two", "three", "error", "four"]


def test_the_predicted_file_is_never_written_over(tmp_path):
    file = trained(tmp_path, VW_LINES)
    before = file.read_bytes()
    run = weir("predict", file, "--store", "models", "-p", "lines.vw", cwd=tmp_path, code=2)
    assert "is the same file as" in run.stderr
    assert file.read_bytes() == before


def test_a_file_is_named_without_an_at_sign(tmp_path):
    said = weir("predict", "@some.vw", cwd=tmp_path, code=2).stderr
    assert "FILE: '@some.vw': there is no such file; here a file is named without @: 'some.vw'" in said
