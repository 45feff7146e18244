"""Labels in the modern reader of csv2vw: classes, pairs, names, and the map that is kept."""

import fcntl
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.csv2vw import main

Labels = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def labels(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Labels:
    """Label cells and options, to exit code, the labels written, and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(cells: list[str], *arguments: str) -> tuple[int, list[str], str]:
        Path("in.csv").write_text("a,y\n" + "".join(f"1,{cell}\n" for cell in cells))
        capfd.readouterr()
        code = main(["--label", "y", *arguments, "in.csv"])
        out, err = capfd.readouterr()
        return code, [line.split("|")[0].strip() for line in out.splitlines()], err

    return run


def test_numbers_stay_and_texts_become_classes_as_they_appear(labels: Labels) -> None:
    assert labels(["b", "a", "b", "2.50", "", "c"])[:2] == (0, ["1", "2", "1", "2.5", "", "3"])


def test_a_missing_label_is_no_label(labels: Labels) -> None:
    assert labels(["NA", "", "1"], "--missing-value", "NA")[1] == ["", "", "1"]


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "1e300"])
def test_a_number_that_vw_cannot_learn_from_is_a_bad_label(labels: Labels, cell: str) -> None:
    code, found, err = labels(["1", cell])
    assert (code, found) == (1, ["1"])
    assert f"label {cell!r}" in err


def test_named_labels_are_the_only_ones(labels: Labels) -> None:
    code, found, err = labels(["YES", "NO", "MAYBE", "YES", ""], "--labels", "YES=1,NO=-1", "--skip-bad")
    assert (code, found) == (0, ["1", "-1", "1", ""])
    assert "label 'MAYBE' is not one of YES, NO" in err


@pytest.mark.parametrize(
    ("low", "high"), [("0", "1"), ("-1", "1"), ("1", "2"), ("NO", "YES"), ("no", "yes"), ("f", "t"), ("9", "10"),
                      ("7", "x"), ("benign", "malignant"), ("False", "True")],
)  # fmt: skip
def test_the_smaller_of_two_labels_is_negative_whatever_comes_first(labels: Labels, low: str, high: str) -> None:
    for order in itertools.permutations([low, high, low]):
        assert labels(list(order), "--binary")[1] == ["1" if cell == high else "-1" for cell in order]


def test_the_second_label_may_come_late(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.csv2vw_parts.row_chunks.CHUNK_BYTES", 64)
    assert labels(["", *["z"] * 500, "a"], "--binary")[1] == ["", *["1"] * 500, "-1"]


def test_a_second_label_that_comes_too_late_is_an_error_that_says_what_to_do(
    labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.csv2vw_parts.modern.HELD_BYTES", 1000)
    monkeypatch.setattr("tools.csv2vw_parts.row_chunks.CHUNK_BYTES", 64)
    code, found, err = labels(["z"] * 5000 + ["a"], "--binary")
    assert (code, found) == (1, [])
    assert "name both with --labels" in err


def test_a_label_that_stays_alone_must_speak_for_itself(labels: Labels) -> None:
    assert labels(["yes", "yes"], "--binary")[:2] == (0, ["1", "1"])
    assert labels(["0"], "--binary")[:2] == (0, ["-1"])
    code, found, err = labels(["setosa"], "--binary")
    assert (code, found) == (1, [])
    assert "--labels setosa=1" in err


def test_a_third_label_is_a_bad_row(labels: Labels) -> None:
    code, found, err = labels(["a", "b", "c", "a"], "--binary")
    assert (code, found) == (1, ["-1", "1"])
    assert "label 'c' is a third one beside 'a' and 'b'" in err


def test_a_map_gives_the_same_numbers_later_and_new_labels_the_next(labels: Labels) -> None:
    assert labels(["b", "a"], "--label-map", "map.json")[1] == ["1", "2"]
    assert json.loads(Path("map.json").read_text()) == {"b": 1, "a": 2}
    assert labels(["c", "a", "b"], "--label-map", "map.json")[1] == ["3", "2", "1"]
    assert json.loads(Path("map.json").read_text()) == {"b": 1, "a": 2, "c": 3}


def test_a_map_holds_the_two_labels_of_a_binary_task(labels: Labels) -> None:
    assert labels(["m"], "--binary", "--labels", "x=1")[0] == 2
    assert labels(["m", "b"], "--binary", "--label-map", "map.json")[1] == ["1", "-1"]
    assert labels(["m"], "--binary", "--label-map", "map.json")[1] == ["1"]
    Path("map.json").write_text('{"b": 1}')
    assert labels(["m", "b"], "--binary", "--label-map", "map.json")[1] == ["-1", "1"]


def test_a_map_knows_every_label_of_the_lines_before_a_bad_row(labels: Labels) -> None:
    assert labels(["b", "a", "1_0", "c"], "--label-map", "map.json")[:2] == (1, ["1", "2"])
    assert json.loads(Path("map.json").read_text()) == {"b": 1, "a": 2}


def test_the_label_of_a_bad_row_gets_no_number(labels: Labels) -> None:
    Path("in.csv").write_text("")
    assert labels(["a", "b,more", "c"], "--skip-bad")[1] == ["1", "2"]


@pytest.mark.parametrize("content", ["[1]", '{"a": 0}', '{"a": 1, "b": 1}', '{"a": true}', '{"a": "1"}', "{"])
def test_a_map_that_is_none_is_refused_and_left_alone(labels: Labels, content: str) -> None:
    Path("map.json").write_text(content)
    code, found, err = labels(["a"], "--label-map", "map.json")
    assert (code, found) == (2, [])
    assert "map.json" in err
    assert err.count("\n") == 1
    assert Path("map.json").read_text() == content


def test_a_map_belongs_to_one_run_at_a_time(labels: Labels) -> None:
    with Path("map.json.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, found, err = labels(["a"], "--label-map", "map.json")
    assert (code, found) == (2, [])
    assert "another csv2vw is using it" in err


def test_a_map_that_cannot_be_written_ends_the_run_before_its_lines(labels: Labels) -> None:
    assert labels(["a"], "--label-map", "nowhere/map.json")[:2] == (2, [])
