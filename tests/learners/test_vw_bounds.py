"""Labels at which VW reads or writes beyond its memory must not end the process, learnt or predicted."""

import os
import subprocess
import sys

import pytest

from formats.example import Example
from learners.learner import LearnerError
from learners.vw import VW

# Learns and predicts random lines or groups; a crash of VW ends it.
SCRIPT = """
import random, sys
from formats.labels import Labels
from formats.vw_text import VwText
from learners.learner import LearnerError
from learners.vw import VW
arguments, heads = sys.argv[1], sys.argv[2].split(";")
for seed in range(25):
    draw = random.Random(seed)
    learner = VW(arguments + " -b 8")
    traits = learner.traits
    format_ = VwText(Labels(traits.label_kind, traits.classes), traits.reads, traits.is_multiline)
    for _ in range(12):
        count = draw.randint(1, 5) if traits.is_multiline else 1
        drawn = [draw.choice(heads) for _ in range(count)]
        if draw.random() < 0.7:
            drawn.sort(key=lambda head: 0 if "shared" in head else 1 if "action" in head else 2)
        features = [" |f a", " |f b:2 |g c", " |", "|f d", " 't|f a", ""] if draw.random() < 0.3 else [" |f a"]
        payload = chr(10).join(head + draw.choice(features) for head in drawn).encode()
        for example in format_.decode([payload]).examples:
            learner.learn([example])
            try:
                learner.predict(example)
            except LearnerError:
                pass
print("alive")
"""

HEADS = {
    "ccb": "ccb shared;ccb action;ccb action;ccb slot;ccb slot 0:1:0.5;ccb slot 5:1:0.5;ccb slot 7;ccb;;shared",
    "slates": "slates shared;slates shared 0.5;slates action 0;slates action 1;slates action 9;slates slot;"
    "slates slot 0:0.5;slates slot 5:0.5;slates;slates action;",
    "ldf": "shared;1:0;2:1;1;2;0:1;9:1;1:0 2:1;label:1;x;;'tag",
    "adf": "shared;0:1:0.5;1:0:0.2;;;9:1:0.5;0;0:1",
    "costs": "1:0 2:1 3:2;1 2 3;0:1;9:1;shared;x:1;label:1;1:0 1:2;99999999:1;",
    "classes": "1;2;3;0;9;1 2;",
    "labels": "1;1,2;0;9;x;99999999;1 2;",
    "bandit": "1:1:0.5;2:0:0.2 1;0:1:0.5;9:1:0.5;;1:1;shared;9",
}


@pytest.mark.parametrize(
    ("arguments", "heads"),
    [
        ("--ccb_explore_adf", "ccb"), ("--slates", "slates"), ("--csoaa_ldf m", "ldf"),
        ("--csoaa_ldf mc --csoaa_rank", "ldf"), ("--wap_ldf m", "ldf"), ("--cb_explore_adf", "adf"),
        ("--csoaa 3", "costs"), ("--cs_active 3 --simulation --cost_max 2", "costs"),
        ("--oaa 3 --oaa_subsample 2", "classes"), ("--get_pmf --oaa 3", "classes"), ("--recall_tree 3", "classes"),
        ("--memory_tree 3 --oas", "labels"), ("--multilabel_oaa 3", "labels"), ("--ot 3", "bandit"),
        ("--cb 3", "bandit"), ("--sample_pdf", "classes"),
    ],
)  # fmt: skip
def test_no_label_ends_the_process(arguments: str, heads: str) -> None:
    command = [sys.executable, "-c", SCRIPT, arguments, HEADS[heads]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["alive"]), done.stderr[-500:]


@pytest.mark.parametrize(
    ("arguments", "text", "reason"),
    [
        ("--csoaa_ldf m", b"1:0 |f a\ntag|f b", "every line of the group needs its class"),
        ("--ccb_explore_adf", b"ccb action |a\nccb slot 0:1:0.5 |z", "`ccb shared` in its first line"),
        ("--slates", b"slates shared 1 |s\nslates action 0 |a\nslates slot |z", "either the shared line and every"),
        ("--slates", b"slates shared |s\nslates action 1 |a\nslates slot |z", "slot 0 has no action"),
        ("--slates", b"slates shared 1 |s\nslates action 0 |a\nslates slot 3:1 |z", "names an action beyond its 1"),
        ("--cs_active 3 --cost_max 1", b"4:1 |f a", "4 is not a class from 1 to 3"),
        ("--ot 2", b"0:1:0.5 |f a", "0 is not a class from 1 to 2"),
    ],
)
def test_what_would_crash_is_rejected_and_says_why(arguments: str, text: bytes, reason: str) -> None:
    (rejected,) = VW(arguments).learn([Example(None, 1.0, text)]).rejected
    assert reason in rejected.reason


BANDWIDTH = "--min_value 0 --max_value 10 --bandwidth 1"


@pytest.mark.parametrize(
    ("arguments", "labelled", "asked", "answer"),
    [
        ("--csoaa_ldf m", b"1:1 |f a\n2:0 |f b", b"|f a\n'tag|f b", 2.0),
        ("--wap_ldf m", b"1:1 |f a\n2:0 |f b", b"1 |f a\n2 |f b", 2.0),
        ("--ccb_explore_adf --epsilon 0", b"ccb shared |s\nccb action |a x\nccb action |a y\nccb slot 1:-1:0.5 |z",
         b"ccb shared |s\nccb action |a x\nccb action |a y\nccb slot |z", [[[1.0, 1.0], [0.0, 0.0]]]),
        ("--slates --epsilon 0", b"slates shared 1 |s\nslates action 0 |a x\nslates slot 0:0.5 |z",
         b"slates shared |s\nslates action 0 |a x\nslates slot |z", [[[0.0, 1.0]]]),
        ("--search 3 --search_task sequence", b"1 |f a\n2 |f b", b"|f a\n|f b", [1.0, 2.0]),
    ],
)  # fmt: skip
def test_groups_are_predicted_without_their_outcome(
    arguments: str, labelled: bytes, asked: bytes, answer: object
) -> None:
    learner = VW(arguments)
    learner.learn([Example(None, 1.0, labelled)] * 30)
    assert learner.predict(Example(None, 1.0, asked)) == answer
    assert learner.predict(Example(None, 1.0, labelled)) == answer


def test_actions_that_are_numbers_come_with_their_density() -> None:
    pdf = VW(f"--cats_pdf 4 {BANDWIDTH}")
    stretches = pdf.predict(Example(None, 1.0, b"|f a"))
    assert sum((end - begin) * high for begin, end, high in stretches) == pytest.approx(1.0)  # type: ignore[union-attr,misc]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--ccb_explore_adf", b"ccb shared |s\nccb action |a x\nccb action |a y\nccb slot 1:-1:0.5 |z"),
        (f"--cats_pdf 4 {BANDWIDTH}", b"ca 6.5:-1:0.5 |f a"),
        ("--csoaa_ldf m", b"1:1 |f a\n2:0 |f b"),
        ("--search 3 --search_task sequence", b"1 |f a\n2 |f b"),
        ("--cbzo", b"ca 6.5:-1:0.5 |f a"),
        ("--emt", b"1 |f a"),
    ],
)
def test_predictions_leave_no_trace_also_where_they_draw_random_numbers(arguments: str, text: bytes) -> None:
    learner, twin = VW(arguments), VW(arguments)
    for _ in range(3):
        for each in (learner, twin):
            each.learn([Example(None, 1.0, text)] * 5)
        for _ in range(10):
            learner.predict(Example(None, 1.0, text))
    assert learner.state() == twin.state()


@pytest.mark.parametrize(
    "arguments", ["--csoaa_ldf m --csoaa_rank", "--cs_active 3 --cost_max 1", f"--cats 4 {BANDWIDTH}"]
)
def test_predictions_that_cannot_be_read_or_leave_a_trace_are_refused(arguments: str) -> None:
    with pytest.raises(LearnerError, match="cannot be served"):
        VW(arguments).predict(Example(None, 1.0, b"1 |f a"))


def test_a_rollback_of_continuous_actions_does_not_end_the_process() -> None:
    script = f"""
from learners.vw import VW
learner = VW("--cats 4 {BANDWIDTH} -b 10")
for _ in range(50):
    learner.restore(learner.state())
print("alive", flush=True)
"""
    # What is freed is overwritten at once: what VW deletes, but goes on using, ends the process in the first round.
    overwriting = {**os.environ, "MALLOC_PERTURB_": "165"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=overwriting)
    assert (done.returncode, done.stdout) == (0, "alive\n")
