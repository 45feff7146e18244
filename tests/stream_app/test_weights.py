"""`weir weights` as a user runs it: real processes, and VW's own files of the same events beside it."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from stream_app import config, wiring

WEIR = Path(sys.executable).with_name("weir")
LOGISTIC = "--loss_function logistic"
CHANCE = random.Random(5)
ROWS = [(CHANCE.choice(["YES", "NO"]), CHANCE.choice("abc"), CHANCE.randint(1, 5), f"city {n % 9}") for n in range(200)]


def weir(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    run = subprocess.run([WEIR, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    return run


def vw_lines(folder: Path, count: int = 200) -> Path:
    file = folder / "lines.vw"
    lines = [
        f"{1 if label == 'YES' else -1} |f k={kind} n:{size} |g c={place[-1]}" for label, kind, size, place in ROWS
    ]
    file.write_text("\n".join(lines[:count]) + "\n")
    return file


def trained(folder: Path, *more: object, args: str = LOGISTIC) -> Path:
    vw_lines(folder)
    weir("train", "lines.vw", "--format", "vw", "--vw-args", args, "--out", "models", *more, cwd=folder)
    return folder


def body(file: Path) -> list[str]:
    return file.read_text().split("\nl2_state ")[1].splitlines()[1:]


def by_vw(folder: Path, file: str, args: str) -> tuple[list[str], list[str]]:
    """VW's readable model and inverted hash of a file of lines, without their headers."""
    command = [sys.executable, "-m", "vowpalwabbit", "-d", file, "--quiet", *args.split()]
    subprocess.run([*command, "--readable_model", "readable", "--invert_hash", "names"], cwd=folder, check=True)
    return body(folder / "readable"), body(folder / "names")


@pytest.mark.parametrize("args", [LOGISTIC, f"{LOGISTIC} -q fg", f"{LOGISTIC} --ftrl -q ::", "--noconstant -b 20"])
def test_all_weights_are_what_vw_writes(tmp_path: Path, args: str) -> None:
    trained(tmp_path, args=args)
    readable, names = by_vw(tmp_path, "lines.vw", args)
    assert weir("weights", "--store", "models", "--all", cwd=tmp_path).stdout.splitlines() == readable
    told = weir("weights", "--store", "models", "--all", "--names", cwd=tmp_path)
    assert sorted(told.stdout.splitlines()) == sorted(names)
    assert f"{len(names)} weights are not zero\n0 of them have no known name, 0 have several" in told.stderr


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_names_of_csv_and_json_events_are_those_of_the_lines_that_vw_learns(tmp_path: Path, format_: str) -> None:
    schema = '[schema]\nlabel = "late"\nlabels = {YES = 1, NO = -1}\n[schema.namespaces]\nf = ["kind", "to city"]\n'
    (tmp_path / "weir.toml").write_text(
        f'[learner]\nargs = "{LOGISTIC} -q ff"\n[events]\nformat = "{format_}"\n{schema}'
    )
    columns = ["late", "kind", "size", "to city"]
    events = [dict(zip(columns, row, strict=True)) for row in ROWS]
    rows = [json.dumps(event) for event in events]
    if format_ == "csv":
        rows = [",".join(columns), *(",".join(map(str, event.values())) for event in events)]
    (tmp_path / "events").write_text("\n".join(rows) + "\n")
    settings = config.load(str(tmp_path / "weir.toml"), environment={})
    format_made = wiring.build_format(settings, wiring.build_learner(settings).traits)
    with (tmp_path / "events").open("rb") as stream:
        examples = format_made.decode(list(format_made.split(stream))).examples
    (tmp_path / "lines").write_bytes(b"\n".join(example.text for example in examples) + b"\n")
    weir("train", "events", "--out", "models", cwd=tmp_path)
    _, names = by_vw(tmp_path, "lines", f"{LOGISTIC} -q ff")
    told = weir("weights", "--store", "models", "--all", "--names", cwd=tmp_path).stdout.splitlines()
    assert sorted(told) == sorted(names)
    assert any(line.startswith("f^to%20city=city%208:") for line in told)
    (tmp_path / "weir.toml").unlink()
    alone = weir("weights", "--store", "models", "--all", "--from", "events", cwd=tmp_path).stdout.splitlines()
    assert sorted(alone) == sorted(names)


def test_the_heaviest_weights_stand_in_a_table(tmp_path: Path) -> None:
    trained(tmp_path)
    rows = weir("weights", "--store", "models", "--names", "--top", 3, cwd=tmp_path).stdout.splitlines()
    assert rows[0].split() == ["weight", "index", "name"]
    sizes = [abs(float(row.split()[0])) for row in rows[1:]]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)


def test_json_tells_every_weight_with_its_names_and_the_model(tmp_path: Path) -> None:
    trained(tmp_path)
    told = json.loads(weir("weights", "--store", "models", "--names", "--all", "--json", cwd=tmp_path).stdout)
    _, names = by_vw(tmp_path, "lines.vw", LOGISTIC)
    assert [f"{one['names'][0]}:{one['index']}:{one['printed']}" for one in told["weights"]] == names
    assert (told["non_zero"], told["unnamed"], told["collisions"]) == (len(names), 0, 0)
    assert told["remarks"] == ["13 names are known, from 200 of 200 examples learnt"]
    by_prefix = weir("weights", told["model"][7:19], "--store", "models", "--json", cwd=tmp_path).stdout
    assert json.loads(by_prefix)["model"] == told["model"]


def test_names_that_fall_on_one_weight_are_all_told_and_counted(tmp_path: Path) -> None:
    trained(tmp_path, args="-b 2")
    told = weir("weights", "--store", "models", "--names", "--all", cwd=tmp_path)
    _, names = by_vw(tmp_path, "lines.vw", "-b 2")
    lines = told.stdout.splitlines()
    assert set(names) < set(lines)
    assert len(lines) == 14
    several = [place for place, count in Counter(line.split(":")[1] for line in lines).items() if count > 1]
    assert f"0 of them have no known name, {len(several)} have several" in told.stderr


def test_events_complete_what_a_full_dictionary_left_out(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text('[learner]\nnames = 4\n[events]\nformat = "vw"\n')
    trained(tmp_path)
    told = weir("weights", "--store", "models", "--names", "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["unnamed"] == 9
    assert "the dictionary was full" in told.stdout
    lines = vw_lines(tmp_path)
    lines.write_text(lines.read_text() + "1 no bar\n")
    whole = json.loads(weir("weights", "--store", "models", "--from", "lines.vw", "--json", cwd=tmp_path).stdout)
    assert whole["unnamed"] == 0
    assert "1 events could not be read, and were passed over" in whole["remarks"]


def test_an_audit_of_a_file_is_what_vw_prints(tmp_path: Path) -> None:
    trained(tmp_path, args=f"{LOGISTIC} -q fg")
    before = weir("weights", "--store", "models", "--all", cwd=tmp_path).stdout
    command = [sys.executable, "-m", "vowpalwabbit", "--quiet", "-d", "lines.vw", *LOGISTIC.split(), "-q", "fg"]
    subprocess.run([*command, "-f", "model"], cwd=tmp_path, check=True)
    asked = [sys.executable, "-m", "vowpalwabbit", "--quiet", "-d", "lines.vw", *LOGISTIC.split(), "-i", "model"]
    theirs = subprocess.run([*asked, "-t", "--audit"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    ours = weir("weights", "--store", "models", "--audit", "lines.vw", cwd=tmp_path).stdout
    assert [sorted(line.split("\t")) for line in ours.splitlines()[1::2]] == [
        sorted(line.split("\t")) for line in theirs.splitlines()[1::2]
    ]
    scores = [[float(line) for line in text.splitlines()[::2]] for text in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=2e-6)
    assert weir("weights", "--store", "models", "--all", cwd=tmp_path).stdout == before


def test_river_weights_stand_under_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text(
        '[learner]\nkind = "river"\nargs = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"\n'
    )
    events = [{"label": n % 2, "features": {"f": {"a": n % 2, "b": n % 5}}} for n in range(50)]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    weir("train", "events.jsonl", "--out", "models", cwd=tmp_path)
    lines = weir("weights", "--store", "models", "--all", cwd=tmp_path).stdout.splitlines()
    assert {line.split(":")[0] for line in lines} == {"f^a", "f^b", "(intercept)"}
    told = weir("weights", "--store", "models", cwd=tmp_path).stdout.splitlines()
    assert told[0].split() == ["weight", "name"]
    assert "cannot be audited" in weir("weights", "--store", "models", "--audit", "x", cwd=tmp_path, code=2).stderr


def test_a_learner_without_weights_by_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text('[learner]\nkind = "river"\nargs = "tree.HoeffdingTreeClassifier()"\n')
    (tmp_path / "events.jsonl").write_text('{"label": 1, "features": {"a": 1}}\n')
    weir("train", "events.jsonl", "--out", "models", cwd=tmp_path)
    said = weir("weights", "--store", "models", cwd=tmp_path, code=2).stderr
    assert "HoeffdingTreeClassifier has no weights by name" in said


def test_a_store_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    assert "there is no checkpoint in it yet" in weir("weights", cwd=tmp_path, code=2).stderr
