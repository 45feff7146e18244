"""Weights by name are what VW itself writes: `--readable_model`, `--invert_hash` and `--audit`, in a process."""

import random
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest

from formats.example import Example
from formats.labels import Labels
from formats.vw_text import VwText
from learners import vw_weights
from learners.learner import LearnerError, Name, Weights
from learners.vw import VW
from stream_app.names import Names, pairs

LINEAR = [
    "", "--noconstant", "--sgd", "--adaptive", "--ftrl", "--coin", "--pistol", "--freegrad",
    "--loss_function logistic --link logistic", "--l1 0.01", "--l2 0.01", "--hash all", "--hash all --hash_seed 7",
    "-b 22", "--affix +2f,-1s,+1 --hash_seed 3", "--affix +1f,-2f", "--spelling f --spelling _",
    "--ignore s", "--keep f --keep t", "--ignore_linear f", "--redefine s:=f", "--redefine x:=st --affix 2x",
    "--power_t 0.3 --initial_weight 0.1 -b 10", "--binary --loss_function hinge", "--random_weights -b 8",
]  # fmt: skip
INTERACTIONS = [
    "-q fs", "-q sf -q fs", "-q ff", "-q ::", "--quadratic=f:", "--interactions :f", "--cubic fss", "--cubic ::t",
    "--cubic :::", "--interactions fsft --noconstant", "-q ff --permutations", "-q :: --leave_duplicate_interactions",
    "--cubic f:: --leave_duplicate_interactions", r"-q 'f\x20'", "-q fs --ignore_linear f --ftrl",
    "-q fs --redefine t:=f --hash all", "-q fs -q st --sgd --l1 0.001",
]  # fmt: skip
GRAMS = ["--ngram 2", "--ngram f3 --skips f2", "--ngram 2 --skips 1 -q fs", "--ngram f2 --affix +2f -q ::"]
MODELS = ["--oaa 3", "--oaa 5 --sgd -q fs", "--ect 3", "--csoaa 3"]


def lines(args: str = "", count: int = 150) -> list[bytes]:
    """Namespaces of one letter and more, values, weights, names side by side; labels as the arguments want them."""
    chance = random.Random(3)
    found = []
    for _ in range(count):
        label = str(chance.choice([-1, 1]))
        if "--oaa" in args or "--ect" in args:
            label = str(chance.randint(1, 3))
        if "--csoaa" in args:
            label = "1:0.5 2:1 3:0"
        first = " ".join(f"{name}:{chance.randint(0, 3)}" for name in chance.sample(["a", "B.c", "9%7C", "d"], 3))
        second = " ".join(chance.sample(["x=1", "x=2", "a", "Zürich"], 2))
        found.append(
            f"{label} |first:2 {first} |s {second} | plain q:{chance.random():.3f} |third t{chance.randint(0, 4)}"
        )
    return [line.encode() for line in found]


def learnt(args: str, text: Sequence[bytes]) -> tuple[VW, list[Example], list[Name]]:
    """A learner, what it has learnt, and the names in it."""
    vw = VW(args)
    decoded = VwText(Labels(vw.traits.label_kind, vw.traits.classes), "text", vw.traits.is_multiline).decode(text)
    assert not decoded.dead
    vw.learn(decoded.examples)
    dictionary = Names(10_000, 1)
    dictionary.see(decoded.examples)
    return vw, decoded.examples, list(pairs(dictionary.state()))


def by_vw(args: str, text: Sequence[bytes], folder: Path, *more: str) -> list[list[str]]:
    """What VW itself writes of the same lines: the bodies of the readable model and of the inverted hash."""
    (folder / "data.vw").write_bytes(b"\n".join(text) + b"\n")
    command = [sys.executable, "-m", "vowpalwabbit", "-d", "data.vw", "--quiet", *shlex.split(args), *more]
    subprocess.run([*command, "--readable_model", "readable", "--invert_hash", "names"], cwd=folder, check=True)
    return [
        (folder / file).read_text(errors="surrogateescape").split("\nl2_state ")[1].splitlines()[1:]
        for file in ("readable", "names")
    ]


def with_names(weights: Weights) -> list[str]:
    return [f"{name}:{one.index}:{one.printed}" if name else f"{one.index}:{one.printed}"
            for one in weights.weights for name in one.names or [""]]  # fmt: skip


@pytest.mark.parametrize("args", LINEAR + INTERACTIONS + GRAMS + MODELS + ["--nn 3", "--lrq fs2", "--boosting 2"])
def test_weights_are_the_readable_model_of_vw(args: str, tmp_path: Path) -> None:
    text = lines(args)
    vw, _, _ = learnt(args, text)
    readable, _ = by_vw(args, text, tmp_path)
    ours = vw.weights([], []).weights
    assert [f"{one.index}:{one.printed}" for one in ours] == readable
    assert len(ours) > 5


@pytest.mark.parametrize("args", LINEAR + INTERACTIONS + MODELS)
def test_names_from_the_dictionary_are_those_of_vw(args: str, tmp_path: Path) -> None:
    text = lines(args)
    roomy = args if "-b" in args else f"{args} -b 22"
    vw, _, names = learnt(roomy, text)
    _, inverted = by_vw(roomy, text, tmp_path)
    weights = vw.weights(names, [])
    assert_same(with_names(weights), inverted, "-b" in args)
    assert weights.remarks == []


@pytest.mark.parametrize("args", LINEAR + INTERACTIONS + GRAMS + MODELS)
def test_names_from_events_are_those_of_vw(args: str, tmp_path: Path) -> None:
    text = lines(args)
    roomy = args if "-b" in args else f"{args} -b 22"
    vw, examples, _ = learnt(roomy, text)
    _, inverted = by_vw(roomy, text, tmp_path)
    assert_same(with_names(vw.weights([], examples)), inverted, "-b" in args)


def assert_same(ours: list[str], inverted: list[str], has_collisions: bool) -> None:
    """Where names collide VW tells the one that it met first; we tell all. With room for all there are next to none."""
    assert set(inverted) <= set(ours)
    assert has_collisions or len(ours) - len(inverted) <= 1


@pytest.mark.parametrize("args", LINEAR + INTERACTIONS + GRAMS)
def test_an_audit_is_that_of_vw(args: str, tmp_path: Path) -> None:
    text = lines(args)
    vw, examples, _ = learnt(args, text)
    by_vw(args, text, tmp_path, "-f", "model")
    (tmp_path / "asked.vw").write_bytes(b"\n".join(line.partition(b" ")[2] for line in text[:20]) + b"\n")
    not_stored = " ".join(
        option for option in re.findall(r"--(?:l1|l2|loss_function|leave\w+|permutations)\S* ?[\w.]*", args)
    )
    command = [
        sys.executable,
        "-m",
        "vowpalwabbit",
        *shlex.split(not_stored),
        "-i",
        "model",
        "-t",
        "--audit",
        "--quiet",
    ]
    ran = subprocess.run([*command, "-d", "asked.vw"], cwd=tmp_path, capture_output=True, check=True).stdout
    theirs = ran.decode(errors="surrogateescape").splitlines()
    audits = list(vw.audit(examples[:20]))
    expected = [sorted(line[1:].split("\t")) for line in theirs if line.startswith("\t")]
    ours = [sorted(row.printed for row in one.features) for one in audits]
    if "--l1" in args:  # VW's readable model tells to six digits only how much --l1 takes off each weight
        places = [[row.rpartition(":") for row in rows] for rows in map(chain.from_iterable, (ours, expected))]
        assert [row[0] for row in places[0]] == [row[0] for row in places[1]]
        assert [float(row[2]) for row in places[0]] == pytest.approx(
            [float(row[2]) for row in places[1]], rel=1e-5, abs=1e-6
        )
    else:
        assert ours == expected
    scores = [float(line) for line in theirs if not line.startswith("\t")]
    assert [one.prediction for one in audits] == pytest.approx(scores, abs=2e-6)


@pytest.mark.parametrize("args", ["--sort_features", "--feature_limit f2"])
def test_names_are_refused_where_vw_reorders_features(args: str) -> None:
    vw, _, names = learnt(args, lines())
    assert vw.weights([], []).weights
    with pytest.raises(LearnerError, match="reorder features"):
        vw.weights(names, [])


def test_an_interaction_of_too_many_products_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vw_weights, "MOST_PRODUCTS", 10)
    vw, examples, names = learnt("-q fs", lines())
    told = vw.weights(names, [])
    assert told.remarks == [
        "interaction 'fs': 16 products of names are too many to try; give --from FILE to name them from events"
    ]
    assert any(not one.names for one in told.weights)
    assert all(one.names for one in vw.weights(names, examples).weights)


def test_products_tried_a_few_at_once_give_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    vw, _, names = learnt("--cubic ffs -q ::", lines())
    whole = vw.weights(names, [])
    monkeypatch.setattr(vw_weights, "PRODUCTS_AT_ONCE", 3)
    monkeypatch.setattr(vw_weights, "NAMES_AT_ONCE", 2)
    assert with_names(vw.weights(names, [])) == with_names(whole)


def test_grams_are_named_from_events_only_and_that_is_said() -> None:
    vw, examples, names = learnt("--ngram 2", lines())
    told = vw.weights(names, [])
    assert told.remarks == ["n-grams are named from events only: give --from FILE"]
    assert any(not one.names for one in told.weights)
    assert all(one.names for one in vw.weights(names, examples).weights)


def test_shared_features_and_their_interactions_with_actions_have_names(tmp_path: Path) -> None:
    group = [b"shared |user u1 u2", b"1:2:0.5 |action a", b"|action b |user u3", b""]
    other = [b"shared |user u2", b"|action a", b"2:1:0.5 |action c", b""]
    args = "--cb_explore_adf -q ua -q uu -b 22"
    vw = VW(args)
    texts = [b"\n".join(group[:-1]), b"\n".join(other[:-1])] * 20
    decoded = VwText(Labels(vw.traits.label_kind, vw.traits.classes), "text", True).decode(texts)
    vw.learn(decoded.examples)
    _, inverted = by_vw(args, (group + other) * 20, tmp_path)
    assert sorted(with_names(vw.weights([], decoded.examples))) == sorted(inverted)


def test_naming_and_auditing_leave_the_learner_as_it_was() -> None:
    vw, examples, names = learnt("-q fs", lines())
    before = vw.state()
    vw.weights(names, examples)
    list(vw.audit(examples))
    assert vw.state() == before


def test_only_a_single_score_can_be_audited() -> None:
    vw, examples, _ = learnt("--oaa 3", lines("--oaa 3"))
    with pytest.raises(LearnerError, match="single scalar score"):
        list(vw.audit(examples))


@pytest.mark.parametrize("args", LINEAR + INTERACTIONS + GRAMS + MODELS)
def test_a_restored_learner_tells_the_same_names(args: str) -> None:
    vw, examples, names = learnt(args, lines(args, 60))
    restored = VW(args)
    restored.restore(vw.state())
    assert with_names(restored.weights(names, examples)) == with_names(vw.weights(names, examples))
    assert with_names(restored.weights(names, [])) == with_names(vw.weights(names, []))
