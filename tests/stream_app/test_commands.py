"""The commands as a user runs them: real processes, their output and exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from weir_process import Weir, closing, synthetic

WEIR = Path(sys.executable).with_name("weir")

VW_LINES = [b"1 |f a:1 b c", b"-1 |f a:2 d", b"1 2.5 'tag|f a", b"|f a b", b"-1 |f d", b"1 |f c"] * 40


def weir(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    run = subprocess.run([WEIR, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    return run


@pytest.fixture
def lines(tmp_path):
    file = tmp_path / "lines.vw"
    file.write_bytes(b"\n".join(VW_LINES) + b"\n")
    return file


@pytest.mark.parametrize("progress", [None, "1", "7", "1.3", "100"])
@pytest.mark.parametrize(
    "args", ["", "--loss_function logistic --link logistic", "--ftrl -q ff", "--noconstant --l2 1e-4"]
)
def test_train_prints_what_vw_prints(lines, args, progress):
    reporting = ["-P", progress] if progress else []
    ours = weir("train", lines, "--format", "vw", "--vw-args", args, *reporting, cwd=lines.parent).stderr
    command = [sys.executable, "-m", "vowpalwabbit", "-d", lines, *args.split(), *reporting]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert ours == theirs


def test_train_prints_one_json_object_with_vw_figures(lines):
    run = weir("train", lines, "--format", "vw", "--vw-args", "", "--json", cwd=lines.parent)
    figures = json.loads(run.stdout)
    assert figures["examples"] == 240
    assert figures["weighted_examples"] == 300.0
    assert figures["weighted_label_sum"] == 100.0
    assert figures["dead_letters"] == 0
    assert f"average loss = {figures['average_loss']:.6f}" in run.stderr
    assert f"total feature number = {figures['total_features']}" in run.stderr


def test_train_writes_vws_predictions(lines):
    weir("train", lines, "--format", "vw", "--vw-args", "", "-p", "ours", cwd=lines.parent)
    command = [sys.executable, "-m", "vowpalwabbit", "-d", lines, "-p", "theirs", "--quiet"]
    subprocess.run(command, cwd=lines.parent, check=True)
    assert (lines.parent / "ours").read_text() == (lines.parent / "theirs").read_text()


def test_train_keeps_the_model_and_predict_uses_it(lines):
    folder = lines.parent
    (folder / "weir.toml").write_text('[events]\nformat = "vw"\n[checkpoints]\nurl = "models"\n')
    model = weir("train", lines, "--out", "models", cwd=folder).stdout.strip()
    answers = weir("predict", lines, "--json", cwd=folder).stdout.splitlines()
    assert len(answers) == 240
    assert json.loads(answers[0])["model"] == model
    plain = weir("predict", lines, "--model", model[7:17], cwd=folder).stdout.splitlines()
    numbers = [json.loads(line)["prediction"] for line in answers]
    assert [float(line.split()[0]) for line in plain] == pytest.approx(numbers, abs=5e-7)
    shown = weir("checkpoints", "show", model[7:17], cwd=folder).stdout
    assert json.loads(shown) == json.loads(weir("checkpoints", "show", model[7:17], "--json", cwd=folder).stdout)
    assert shown.startswith('{\n  "id": "')


def test_train_refuses_a_folder_that_holds_a_model(lines):
    weir("train", lines, "--format", "vw", "--out", "models", cwd=lines.parent)
    again = weir("train", lines, "--format", "vw", "--out", "models", cwd=lines.parent, code=2)
    assert "models: holds a model already" in again.stderr


def test_train_learns_csv_with_labels_by_name(tmp_path):
    (tmp_path / "rows.csv").write_text("y,a,b\n" + "YES,1,x\nNO,2,y\n" * 30)
    run = weir(
        "train", "rows.csv", "--format", "csv", "--label", "y", "--labels", "YES=1,NO=-1", "--json", cwd=tmp_path
    )
    assert json.loads(run.stdout)["examples"] == 60
    assert json.loads(run.stdout)["dead_letters"] == 0


def test_train_says_what_is_dead_and_goes_on(tmp_path):
    (tmp_path / "bad.vw").write_text("1 |f a\nYES |f a\n-1 |f b:inf\n1 |f c\n")
    run = weir("train", "bad.vw", "--format", "vw", "--json", cwd=tmp_path)
    assert json.loads(run.stdout)["dead_letters"] == 2
    assert "dead letter 0:1: label: expected a finite number, got 'YES'" in run.stderr
    assert "dead letter 0:2" in run.stderr


def test_train_with_river_prints_the_same_layout(tmp_path):
    (tmp_path / "weir.toml").write_text(
        '[learner]\nkind = "river"\nargs = "preprocessing.StandardScaler() | linear_model.LogisticRegression()"\n'
    )
    events = [{"label": number % 2, "features": {"a": number % 2, "b": 1.5}} for number in range(50)]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    run = weir("train", "events.jsonl", "--out", "models", "-p", "predictions", "--json", cwd=tmp_path)
    assert json.loads(run.stdout)["examples"] == 50
    assert run.stderr.startswith("average  since ")
    assert len((tmp_path / "predictions").read_text().splitlines()) == 50


def test_demo_once_learns_the_bundled_stream(tmp_path):
    run = weir("demo", "--once", "--port", 0, "--json", cwd=tmp_path)
    summary = json.loads(run.stdout)
    assert summary["examples"] == 49_097
    assert summary["dead_letters"] == 0
    assert summary["accuracy"] > summary["baselines"]["majority"]["accuracy"]
    assert summary["checkpoint"].startswith("sha256.")
    assert run.stderr.count("\n") > 16
    again = json.loads(weir("demo", "--once", "--port", 0, "--json", cwd=tmp_path).stdout)
    assert again["examples"] == 49_097
    assert again["checkpoint"] == summary["checkpoint"]


def test_produce_to_a_log_and_check(tmp_path):
    weir("produce", "river:Phishing", "--to", "log:data/log", "--limit", 100, "--json", cwd=tmp_path)
    results = json.loads(weir("check", "--json", cwd=tmp_path).stdout)
    assert all(result["passed"] for result in results)
    assert {result["check"] for result in results} >= {"settings", "learner", "checkpoint", "service"}


def test_check_fails_with_code_1_where_something_is_wrong(tmp_path):
    (tmp_path / "weir.toml").write_text('[learner]\nargs = "--no_such_option"\n')
    results = json.loads(weir("check", "--json", cwd=tmp_path, code=1).stdout)
    assert next(result["check"] for result in results if not result["passed"]) == "learner"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "missing.vw", "--format", "vw"], "missing.vw is missing"),
        (["train"], "Missing argument 'FILE...'"),
        (["train", "x", "--no-such"], "No such option"),
        (["serve", "-c", "missing.toml"], "missing.toml: no such file"),
        (["train", "x.vw", "-f", "m.vw"], "VW's own arguments go in --vw-args (see weir train --help)"),
        (["train", "x.vw", "--quiet"], "VW's own arguments go in --vw-args (see weir train --help)"),
        (["serve", "--oaa", "3"], "VW's own arguments go in learner.args"),
        (["weights", "--all", "--top", "3"], "--all and --top"),
        (["predict", "x"], "there is no checkpoint in it yet"),
        (["produce", "missing.jsonl", "--to", "log:l"], "file missing.jsonl is missing"),
        (["produce", "river:Nothing", "--to", "log:l"], "no such bundled data set"),
        (["produce", "river:Phishing", "--to", "ftp://x"], "expected http://HOST:PORT"),
        (["produce", "river:Phishing", "--to", "http://127.0.0.1:9"], "no service at http://127.0.0.1:9"),
        (["checkpoints", "show", "01234567"], "no checkpoint starts with"),
        (["checkpoints", "take"], "no service at"),
        (["checkpoints", "verify"], "there are none yet"),
        (["rollback", "01234567", "--skip", "--replay"], "--skip and --replay: expected one of them"),
        (["rollback", "01234567", "--replay", "--except", "5-9"], "is not PARTITION:FIRST-LAST"),
        (["train", "x.vw", "--format", "vw", "--vw-args", "--daemon"], "--daemon is not for a stream"),
        (["train", "x.vw", "--format", "vw", "--vw-args", "--help"], "--help is not for a stream"),
        (["train", "x.vw", "--format", "csv"], "schema.label: required for CSV"),
        (["train", "x.vw", "--format", "csv", "--label", "y", "--labels", "a"], "'a' is not NAME=NUMBER"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(tmp_path, arguments, said):
    (tmp_path / "x.vw").write_text("1 |f a\n")
    (tmp_path / "free.toml").write_text("")
    run = subprocess.run(
        [WEIR, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"WEIR_HTTP_PORT": "9", "PATH": "/usr/bin:/bin"},
    )
    assert run.returncode == 2
    assert said in run.stderr
    assert run.stderr.startswith("weir: ")
    assert run.stderr.count("\n") == 1


def test_a_verbose_service_logs_each_checkpoint_once(tmp_path):
    service = Weir(tmp_path)
    with closing(service):
        service.start("--verbose").post("/events", synthetic(1)[0])
        service.wait_learnt(1)
        taken = service.checkpoint()
        said = [line for line in service.stderr.read_text().splitlines() if f"checkpoint {taken}" in line]
    assert len(said) == 1, said


def test_an_unknown_checkpoint_is_told_with_a_handful_of_short_ids(tmp_path):
    service = Weir(tmp_path, checkpoints={"every_s": 1000})
    with closing(service):
        service.start()
        for number in range(7):
            service.post("/events", synthetic(1, first=number)[0])
            service.wait_learnt(number + 1)
            service.checkpoint()
    said = service.command("checkpoints", "show", "00000000").err
    assert re.fullmatch(
        r"weir: no checkpoint starts with '00000000', kept are: ([0-9a-f]{12}, ){4}[0-9a-f]{12} and \d more;"
        r" weir checkpoints list shows them\n",
        said,
    ), said


def test_times_in_tables_name_their_zone(tmp_path):
    service = Weir(tmp_path)
    with closing(service):
        service.start().checkpoint()
        service.post("/tags/a.b", {"model": "newest"})
    assert "taken (UTC)" in service.command("checkpoints", "list").out.splitlines()[0]
    for command in (("tags",), ("deploy", "history", "-t", "a.b")):
        assert "at (UTC)" in service.command(*command).out.splitlines()[0]


def test_every_command_has_help_with_an_example():
    from stream_app.cli import cli

    groups = [(["weir"], cli)]
    while groups:
        path, group = groups.pop()
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            assert command.help, [*path, name]
            assert "Example: weir" in (command.epilog or command.help), [*path, name]
            for option in command.params:
                if option.param_type_name == "option":
                    assert option.help, [*path, name, option.name]
            if hasattr(command, "commands"):
                groups.append(([*path, name], command))
