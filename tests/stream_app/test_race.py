"""Races: each lane learns as `weir train` would alone, and the intervals hold at every look."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from weir_process import Weir, append, closing, refused, run_weir, synthetic

from checkpoints import open_store
from stream_app.progressive.confidence import Losses
from stream_app.race import Entry, entries_of
from stream_app.settings import ConfigError

RIVER = "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()"
LOGISTIC = "--loss_function logistic --link logistic"


@pytest.mark.parametrize("kind", ["bernoulli", "lognormal", "log loss"])
def test_the_interval_holds_at_every_look_where_a_naive_one_does_not(kind: str) -> None:
    chance = np.random.default_rng(3)
    runs, n = 200, 3000
    missed = naive = 0
    for _ in range(runs):
        if kind == "bernoulli":
            values, mean = (chance.random(n) < 0.1).astype(float), 0.1
        elif kind == "lognormal":
            values, mean = chance.lognormal(0.0, 0.8, n), math.exp(0.32)
        else:
            truth = chance.beta(2, 3, n)
            said = np.clip(truth + chance.normal(0, 0.1, n), 0.02, 0.98)
            values = -np.where(chance.random(n) < truth, np.log(said), np.log(1 - said))
            mean = float(np.mean(-(truth * np.log(said) + (1 - truth) * np.log(1 - said))))
        losses, is_missed, is_naive = Losses(1), False, False
        for first in range(0, n, 20):
            losses.add(values[None, first : first + 20])
            if losses.examples >= 200:
                interval = losses.mean(0)
                is_missed |= not interval.low <= mean <= interval.high
                half = 1.96 * values[: first + 20].std() / math.sqrt(first + 20)
                is_naive |= abs(values[: first + 20].mean() - mean) > half
        missed, naive = missed + is_missed, naive + is_naive
    assert missed / runs <= 0.06
    assert naive / runs > 0.15


def test_differences_are_paired_and_do_not_depend_on_how_rows_were_cut() -> None:
    chance = np.random.default_rng(1)
    common = chance.exponential(1.0, 4000)
    rows = np.array([common, common + 0.05 + chance.normal(0, 0.05, 4000)])
    whole, cut = Losses(2), Losses(2)
    whole.add(rows)
    for first in range(0, 4000, 37):
        cut.add(rows[:, first : first + 37])
    assert whole.difference(1, 0).low > 0.04
    assert whole.mean(0).high > whole.mean(1).low, "alone they cannot be told apart"
    assert np.allclose(whole.difference(1, 0), cut.difference(1, 0))
    assert Losses(2).difference(0, 1).low == -math.inf


def test_the_grid_is_every_combination_of_the_values_that_are_used() -> None:
    found = entries_of(["vw: -l {l} -b {b}", "vw: --ftrl", "river: f({'a': 1})"], ["l=0.1,0.5", "b=18,20"])
    assert [entry.args for entry in found] == [
        "-l 0.1 -b 18",
        "-l 0.1 -b 20",
        "-l 0.5 -b 18",
        "-l 0.5 -b 20",
        "--ftrl",
        "f({'a': 1})",
    ]
    assert entries_of(["vw:"], []) == [Entry("vw", "")]
    for learners, each, said in [
        (["vw -l 1"], [], "expected KIND: ARGS"),
        (["vw: -l {l}"], [], "has no --each l="),
        (["vw: -l 1"], ["l=1"], "no learner has"),
        (["vw: -l {l}"], ["l"], "is not NAME=VALUE"),
    ]:
        with pytest.raises(ConfigError, match=said):
            entries_of(learners, each)


def test_each_lane_learns_as_training_alone_does(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(synthetic(3000)))
    toml = tmp_path / "weir.toml"
    toml.write_text(f'[checkpoints]\nurl = "{tmp_path}/raced"\n')
    ran = run_weir(
        *("race", str(events), "-c", str(toml), "--keep", "--json", "--learner", f"vw: {LOGISTIC} -l {{l}}"),
        *("--each", "l=0.001,0.5", "--learner", f"river: {RIVER}"),
    )
    board = json.loads(ran.out)
    assert (ran.code, board["metric"], board["examples"]) == (0, "log_loss", 3000)
    assert [one["rank"] for one in board["standings"]] == [1, 2, 3]
    assert board["standings"][-1]["learner"].endswith("-l 0.001")
    assert board["standings"][-1]["is_surely_worse"]
    raced = open_store(str(tmp_path / "raced"))
    for number, one in enumerate(board["standings"]):
        kind, _, args = one["learner"].partition(": ")
        out = tmp_path / f"trained-{number}"
        toml.write_text(f"[learner]\nkind = '{kind}'\nargs = '''{args}'''\n")
        assert run_weir("train", str(events), "--out", str(out), "-c", str(toml)).code == 0
        trained = open_store(str(out))
        assert raced.load(one["model"]).blobs["learner"] == trained.load(str(trained.head())).blobs["learner"]
        total = raced.load(one["model"]).manifest.metrics["total"]
        assert isinstance(total, dict)
        assert one["loss"] == pytest.approx(total["log_loss"], rel=1e-9)


async def test_a_race_over_the_log_runs_beside_the_service(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    await append(service.log, [*synthetic(1000), b"poison"])
    with closing(service):
        service.start().wait_learnt(1001)
        ran = service.command(
            "race", "--learner", f"vw: {LOGISTIC}", "--learner", f"vw: {LOGISTIC} --ftrl", "--every", "500"
        )
        assert ran.code == 0
        assert "1,000 labelled examples" in ran.out
        assert ran.err.count("labelled examples") == 2
        short = service.command("race", "--learner", f"vw: {LOGISTIC}", "--limit", "300", "--json")
        assert json.loads(short.out)["examples"] == 300


def test_wrong_learners_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(synthetic(1)[0])
    assert "expected KIND: ARGS" in refused("race", str(tmp_path / "e.jsonl"), "--learner", "nothing")
    assert "--no_such" in refused("race", str(tmp_path / "e.jsonl"), "--learner", "vw: --no_such")


def test_what_a_learner_cannot_take_is_not_compared_and_is_told(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(synthetic(300)))
    scaler = "river: preprocessing.StandardScaler() | linear_model.LogisticRegression()"
    ran = run_weir(
        "race", str(events), "--learner", "vw: --loss_function logistic --link logistic", "--learner", scaler
    )
    assert ran.code == 1
    assert "0 labelled examples" in ran.out
    assert f"300 refused by {scaler}, first 0:0: river: " in ran.out
