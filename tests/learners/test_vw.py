"""What is particular to Vowpal Wabbit: its arguments, its losses, its explanations, its memory."""

import gc
import json
import random
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_samples import CASES, stream

from formats.example import Example
from formats.json_event import JsonEvent
from formats.labels import Labels
from learners.explanation import explained
from learners.learner import LearnerError
from learners.vw import VW

LINE = Example(1.0, 1.0, b"1 |f a b:2")


def decoded(*events: object, reads: str = "text") -> list[Example]:
    found = JsonEvent(Labels()).decode([orjson.dumps(event) for event in events])
    assert found.dead == []
    return found.examples


@pytest.mark.parametrize(
    "arguments",
    [
        "--help", "-h", "--version", "-d x", "-dx", "--data x", "--data=x", "--daemon", "--port 1", "-f x", "-fx",
        "--final_regressor=x", "-i x", "--passes 3", "--passes=3", "-c", "-k", "--cache_file x", "--examples 3", "-t",
        "-p x", "-P 1", "-r x", "--raw_predictions=x", "--readable_model x", "--invert_hash x", "--audit", "-a",
        "--json", "--dsjson", "--csv", "--lda 3", "--pid_file x", "--foreground", "--sendto x", "--predict_only_model",
        "--save_per_pass", "--extra_metrics x", "-q ff --span_server x", "--output_feature_regularizer_text x",
    ],
)  # fmt: skip
def test_an_argument_that_would_leave_the_stream_is_refused_by_name(arguments: str) -> None:
    option = next(token for token in arguments.split() if token not in ("-q", "ff")).partition("=")[0]
    option = option if option.startswith("--") else option[:2]
    with pytest.raises(LearnerError, match=f"learner.args: {option} is not for a stream: ."):
        VW(arguments)


@pytest.mark.parametrize("arguments", ["--nosuch", "--oaa abc", "-b 99", "-q", "--cb 0", "x y"])
def test_an_argument_that_vw_refuses_is_an_error_that_repeats_it(arguments: str) -> None:
    with pytest.raises(LearnerError) as caught:
        VW(arguments)
    assert arguments.split()[0] in str(caught.value)


def test_an_unclosed_quote_is_an_error() -> None:
    with pytest.raises(LearnerError, match="No closing quotation"):
        VW("--redefine 'a")


def test_a_state_of_other_arguments_is_refused() -> None:
    with pytest.raises(LearnerError, match="-b 12"):
        VW("-b 12").restore(VW("-b 13").state())


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("vw")])
def test_losses_sum_to_what_vw_itself_counts(name: str) -> None:
    learner = CASES[name].make()
    assert isinstance(learner, VW)
    learnt = learner.learn(stream(name))
    assert learnt.losses.sum() == pytest.approx(learner._vw.get_sum_loss(), rel=1e-6)


@pytest.mark.parametrize("name", ["vw", "vw oaa", "vw cb", "vw cb adf"])
def test_predictions_served_do_not_count_as_examples(name: str) -> None:
    learner = CASES[name].make()
    assert isinstance(learner, VW)
    learner.learn(stream(name, 20))
    counts = learner._vw.get_weighted_examples(), learner._vw.get_sum_loss()
    for example in stream(name, 50, seed=2):
        learner.predict(example)
    assert (learner._vw.get_weighted_examples(), learner._vw.get_sum_loss()) == counts


@pytest.mark.parametrize(
    ("arguments", "good", "bad"),
    [
        ("--oaa 3", b"1 |f a", b"1.5 |f a"),
        ("--oaa 3", b"2 |f a", b"abc |f b"),
        ("--cb_adf", b"|f a\n0:1:0.5 |f b", b"0:1:0.5 |f a\n1:1:0.5 |f b"),
        ("--ccb_explore_adf", b"ccb shared |s x\nccb action |a b\nccb slot 0:1:0.5 |s c", b"shared |s x"),
        ("--slates", b"slates shared 1 |s x\nslates action 0 |a b\nslates slot 0:0.5 |s c", b"shared |s x"),
        ("--cats 4 --min_value 1 --max_value 2 --bandwidth 1", b"ca 1.5:1:0.5 |f a", b"zz |f a"),
    ],
)
def test_a_rejected_example_leaves_the_rest_as_if_it_had_not_come(arguments: str, good: bytes, bad: bytes) -> None:
    learner, twin = VW(f"{arguments} -b 10"), VW(f"{arguments} -b 10")
    texts = [good, bad, good, bad, good]
    learnt = learner.learn([Example(None, 1.0, text) for text in texts])
    expected = twin.learn([Example(None, 1.0, good)] * 3)
    assert [row.index for row in learnt.rejected] == [1, 3]
    assert all(row.reason.startswith(("VW: ", "group: ")) for row in learnt.rejected)
    assert np.isnan(learnt.predictions[[1, 3]]).all()
    assert (learnt.predictions[[0, 2, 4]] == expected.predictions).all()
    assert learner.state() == twin.state()


def test_a_diverged_learner_answers_finite_numbers_and_counts() -> None:
    learner = VW("--ftrl -b 10")
    huge = Example(1.0, 1e9, b"1 1e9 |f a:1e15 b:-1e15")
    learner.learn([huge] * 20)
    assert np.isfinite(learner.learn([huge]).predictions).all()
    assert np.isfinite(learner.predict(LINE))
    assert learner.nan_predictions > 0


odd_names = st.text(st.sampled_from("ab |:%=^é\n\x00'1"), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    features=st.dictionaries(
        odd_names, st.dictionaries(odd_names, st.one_of(odd_names, st.floats(-9, 9, width=16)), max_size=4), max_size=3
    )
)
@pytest.mark.parametrize("arguments", ["", "--ftrl", "--noconstant", "--loss_function logistic", "--adaptive"])
def test_contributions_name_the_features_and_sum_to_the_raw_score(
    arguments: str, features: dict[str, dict[str, str | float]]
) -> None:
    learner = VW(f"{arguments} -b 18 -l 0.1 --min_prediction -100 --max_prediction 100")
    (example,) = decoded({"label": 1, "features": features})
    learner.learn([example] * 3)
    rows = explained(learner.score(example)).contributions
    assert sum(row.contribution for row in rows) == pytest.approx(learner.predict(example), abs=1e-6)
    meant = {
        (f"{namespace}^" if namespace else "") + (f"{name}={value}" if isinstance(value, str) else name)
        for namespace, inner in features.items()
        for name, value in inner.items()
        if value != 0.0  # VW makes no feature of it
    }
    assert {row.feature for row in rows} - {"Constant"} == meant


def test_names_that_are_no_text_are_explained_as_json_can_say_them() -> None:
    learner = VW("-b 18")
    example = Example(1.0, 1.0, b"1 |f \xff:2 b")
    learner.learn([example] * 3)
    rows = explained(learner.score(example)).contributions
    assert json.dumps([row.feature for row in rows]).encode()
    assert sum(row.contribution for row in rows) == pytest.approx(learner.predict(example), abs=1e-6)


@pytest.mark.parametrize(
    "arguments", ["--oaa 3", "--cb_explore_adf", "--cb 3", "--nn 3", "--lrq ff2", "--boosting 2", "--marginal f"]
)
def test_a_learner_whose_score_is_no_sum_over_features_says_that_it_cannot_explain(arguments: str) -> None:
    with pytest.raises(LearnerError, match="explain"):
        VW(arguments).score(LINE)


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# Python's and malloc's arenas come in steps of some 100 KB to 1 MB; a leak of 100 bytes a call would show as 10 MB.
SLACK_BYTES = 6 << 20


@pytest.mark.parametrize("name", ["vw", "vw oaa", "vw quadratic", "vw ftrl"])
def test_learning_100_000_examples_takes_no_more_memory(name: str) -> None:
    learner, examples = CASES[name].make(), stream(name, 1000)
    for _ in range(10):
        learner.learn(examples)
    before = resident_bytes()
    for _ in range(100):
        learner.learn(examples)
    assert resident_bytes() - before < SLACK_BYTES


@pytest.mark.parametrize("name", ["vw", "vw oaa", "vw cb explore adf"])
def test_20_000_predictions_take_no_more_memory(name: str) -> None:
    learner, examples = CASES[name].make(), stream(name, 200)
    learner.learn(examples)
    for example in examples * 10:
        learner.predict(example)
    before = resident_bytes()
    for example in examples * 100:
        learner.predict(example)
    assert resident_bytes() - before < SLACK_BYTES


def test_2_000_restores_take_no_more_memory() -> None:
    learner = CASES["vw"].make()
    learner.learn(stream("vw"))
    state = learner.state()
    for _ in range(200):
        learner.restore(state)
    before = resident_bytes()
    for _ in range(2000):
        learner.restore(state)
    assert resident_bytes() - before < SLACK_BYTES
    assert learner.state() == state


def test_the_order_of_a_json_object_does_not_reach_the_weights() -> None:
    draw = random.Random(3)
    events = [
        {"label": draw.choice([0, 1]), "features": {"a": draw.random(), "b": {"c": "x", "d": 1}}} for _ in range(99)
    ]
    turned = [
        {"features": {"b": {"d": 1, "c": "x"}, "a": event["features"]["a"]}, "label": event["label"]}  # type: ignore[index]
        for event in events
    ]
    one, other = VW("-q bb -b 12"), VW("-q bb -b 12")
    one.learn(decoded(*events))
    other.learn(decoded(*turned))
    assert one.state() == other.state()
