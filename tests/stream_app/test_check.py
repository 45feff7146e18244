"""`weir check` finds what `weir serve` would stumble over, and says it once."""

import json
import socket
import subprocess
from pathlib import Path

import pytest
from kafka_broker import new_place
from test_commands import WEIR, weir

from stream_app.sources.kafka import KafkaSource


def checked(folder: Path, settings: str, code: int) -> dict[str, tuple[bool, str]]:
    (folder / "weir.toml").write_text(f"[http]\nport = 9\n{settings}")
    results = json.loads(weir("check", "--json", cwd=folder, code=code).stdout)
    return {result["check"]: (result["passed"], result["said"]) for result in results}


@pytest.fixture
def silent_port():
    """A port that takes connections for nobody, so that nothing else listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_broker_that_is_not_there_fails(tmp_path, silent_port):
    url = f"kafka://127.0.0.1:{silent_port}/nosuch"
    is_passed, said = checked(tmp_path, f'[source]\nurl = "{url}"\ntimeout_s = 2\n', 1)["source"]
    assert not is_passed
    assert said.startswith(f"{url}: cannot be opened; is the broker there")


def test_a_topic_that_is_there_passes_and_a_missing_one_fails(tmp_path, kafka):
    place = new_place(kafka)
    is_passed, said = checked(tmp_path, f'[source]\nurl = "kafka:{place}"\n', 1)["source"]
    assert not is_passed
    assert "there is no such topic" in said
    KafkaSource(place, partitions=3)
    assert checked(tmp_path, f'[source]\nurl = "kafka:{place}"\n', 0)["source"] == (
        True,
        f"kafka:{place}, 3 partitions",
    )


@pytest.mark.parametrize("format_", ["csv", "tsv"])
def test_rows_of_a_stream_need_names_for_their_columns(tmp_path, format_):
    results = checked(tmp_path, f'[events]\nformat = "{format_}"\n[schema]\nlabel = "y"\n', 1)
    said = f"events.columns: required for {format_} from a stream, which has no header"
    assert [name for name, result in results.items() if result == (False, said)] == ["events"]


def test_rows_of_a_file_have_a_header(tmp_path):
    (tmp_path / "rows.csv").write_text("y,a\n1,2\n")
    settings = '[events]\nformat = "csv"\n[schema]\nlabel = "y"\n[source]\nurl = "file:rows.csv"\n'
    assert checked(tmp_path, settings, 0)["source"][0]


def test_a_file_that_is_missing_fails(tmp_path):
    is_passed, said = checked(tmp_path, '[source]\nurl = "file:missing.jsonl"\n', 1)["source"]
    assert (is_passed, said.split(";")[0]) == (False, "file missing.jsonl is missing")


def test_one_failure_is_told_once(tmp_path):
    results = checked(tmp_path, '[learner]\nargs = "--no_such_option"\n', 1)
    assert "--no_such_option" in results["learner"][1]
    assert results["events"] == (False, "not checked: see learner")


def test_a_backfill_that_is_not_finished_fails(tmp_path):
    events = [json.dumps({"label": number % 2, "features": {"a": number}}) for number in range(50)]
    (tmp_path / "events.jsonl").write_text("\n".join(events))
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b"\n" + b"x" * (17 << 20))
    weir("train", "events.jsonl", "--backfill", cwd=tmp_path, code=2)
    is_passed, said = checked(tmp_path, "", 1)["checkpoint"]
    assert not is_passed
    assert "is of a backfill that is not finished" in said


def test_the_checks_of_a_new_folder_pass(tmp_path):
    run = subprocess.run(
        [WEIR, "check"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"WEIR_HTTP_PORT": "9", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "log:data/log" in run.stdout
    assert "FAILED" not in run.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"event": {"features": {}}, "at_least": 2, "at_most": 1}', "line 2: at_least 2.0, at_most 1.0"),
        ('{"event": {"features": {}}}', "line 2: at_least -inf, at_most inf"),
        ('{"event": {"features": {}}, "at_leats": 1}', "line 2: Object contains unknown field `at_leats`"),
        ("{", "line 2: Input data was truncated"),
    ],
)
def test_a_sanity_set_that_says_nothing_fails(tmp_path, line, said):
    (tmp_path / "golden.jsonl").write_text(f'{{"event": {{"features": {{}}}}, "at_most": 0.5}}\n{line}\n')
    is_passed, found = checked(tmp_path, '[deploy]\nsanity = "golden.jsonl"\n', 1)["deploy"]
    assert (is_passed, said in found) == (False, True), found


def test_what_is_deployed_by_itself_is_said(tmp_path):
    (tmp_path / "golden.jsonl").write_text('{"event": {"features": {}}, "at_most": 0.5}\n')
    settings = '[deploy]\nsanity = "golden.jsonl"\ntag = "fraud.production"\n'
    said = "fraud.production is not deployed yet, 1 golden events in golden.jsonl"
    assert checked(tmp_path, settings, 0)["deploy"] == (True, said)
    assert not checked(tmp_path, '[deploy]\nsanity = "missing.jsonl"\n', 1)["deploy"][0]
    assert not checked(tmp_path, '[deploy]\ntag = "Fraud"\n', 1)["deploy"][0]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("state", "dir", "{}"), ("checkpoints", "url", "{}"), ("source", "url", "log:{}")],
)
def test_a_folder_that_cannot_be_made_is_named_and_nothing_is_left_behind(tmp_path, section, key, value):
    (tmp_path / "file").write_text("")
    for place, why in [
        ("/proc/foo", "it cannot be made: nothing can be written in /proc"),
        ("file/below/it", "file is not a folder"),
        ("file", "file is not a folder"),
    ]:
        results = checked(tmp_path, f'[{section}]\n{key} = "{value.format(place)}"\n', 1)
        assert [name for name, (is_passed, _) in results.items() if not is_passed][-1:] == ["folders"], results
        assert f"{section}.{key}: {place!r}: {why}" in results["folders"][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "weir.toml"]


def test_folders_that_can_be_made_are_not_made(tmp_path):
    said = "data/state, data/log, data/checkpoints can be written"
    assert checked(tmp_path, "", 0)["folders"] == (True, said)
    assert [path.name for path in tmp_path.iterdir()] == ["weir.toml"]


def test_a_guard_metric_that_the_task_does_not_have_is_refused_at_once(tmp_path):
    (tmp_path / "weir.toml").write_text('[model]\ntask = "regression"\n[deploy]\nguard_metric = "log_loss"\n')
    for command in ("check", "serve"):
        said = weir(command, cwd=tmp_path, code=2).stderr
        assert said.startswith("weir: weir.toml: deploy.guard_metric: 'log_loss' is no figure of model.task 'regr"), (
            said
        )


def test_a_shadow_that_cannot_be_built_is_found(tmp_path):
    is_passed, said = checked(tmp_path, "[shadows.learners.x]\nargs = '--nosuch'\n", 1)["shadows"]
    assert not is_passed
    assert said.startswith("shadows.learners.x: ")
