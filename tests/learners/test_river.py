"""What is particular to river: its expressions, its errors, its state."""

import pickle

import numpy as np
import pytest
from learner_samples import CASES, MIXED, SCALED, after, resumed, stream

from formats.example import Example, Features
from learners.learner import LearnerError
from learners.river import River, build, flat


def row(features: Features, label: float | None = 1.0, weight: float = 1.0) -> Example:
    return Example(label, weight, b"", features)


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("", "SyntaxError"),
        ("linear_model.", "SyntaxError"),
        ("linear_model.NoSuch()", "NoSuch"),
        ("linear_model.LogisticRegression(nosuch=1)", "nosuch"),
        ("nosuch_module_of_ours:build", "nosuch_module_of_ours"),
        ("json:nosuch", "nosuch"),
        ("str('a')", "cannot learn and predict"),
        ("__import__('os').getcwd()", "__import__"),
        ("preprocessing.StandardScaler", "learner.args"),
    ],
)
def test_an_expression_that_builds_no_model_is_an_error_that_repeats_it(expression: str, word: str) -> None:
    with pytest.raises(LearnerError, match=r"builds no river model|cannot learn") as caught:
        River(expression)
    assert word in str(caught.value)
    assert repr(expression) in str(caught.value)


def build_here() -> object:
    return build(SCALED + "LogisticRegression()")


def test_a_function_may_build_the_model() -> None:
    learner = River(f"{__name__}:build_here")
    assert learner.learn([row({"": {"a": 1.0}})]).predictions.tolist() == [0.5]


def test_names_carry_their_namespace() -> None:
    features: Features = {"": {"a": True, "t": ["p", "q"]}, "f": {"a": "x", "none": None}}
    assert flat(features) == {"a": 1, "t=p": 1, "t=q": 1, "f^a": "x"}


def test_a_row_that_does_not_suit_the_pipeline_is_rejected_and_the_rest_is_learnt() -> None:
    good, bad = row({"": {"a": 1.0}}), row({"": {"a": "text"}})
    learner, twin = River(SCALED + "LogisticRegression()"), River(SCALED + "LogisticRegression()")
    varied = [row({"": {"a": float(number)}}, float(number % 2)) for number in range(9)]
    learner.learn(varied)
    twin.learn(varied)
    learnt = learner.learn([bad, good, bad])
    assert [rejected.index for rejected in learnt.rejected] == [0, 2]
    assert all(rejected.reason.startswith("river: TypeError: ") for rejected in learnt.rejected)
    assert np.isnan(learnt.predictions[[0, 2]]).all()
    assert np.isnan(learnt.losses[[0, 2]]).all()
    assert learnt.predictions[1] == twin.learn([good]).predictions[0]
    with pytest.raises(LearnerError, match="river: TypeError"):
        learner.predict(bad)


def test_a_row_that_cannot_be_predicted_leaves_no_trace_of_a_request() -> None:
    learner = River(SCALED + "LogisticRegression()")
    learner.learn([row({"": {"a": float(number), "other": float(number)}}) for number in range(9)])
    state = learner.state()
    with pytest.raises(LearnerError):
        learner.predict(row({"": {"a": 1.0, "new": 2.0, "other": "text"}}))
    assert learner.state() == state


def test_a_weight_goes_to_a_model_that_takes_it_and_is_refused_by_one_that_does_not() -> None:
    heavy = row({"": {"a": 1.0}}, weight=3.0)
    takes = River(SCALED + "LogisticRegression()").learn([heavy])
    assert list(takes.rejected) == []
    assert takes.losses[0] == pytest.approx(3.0 * np.log(2.0))
    refuses = River("naive_bayes.GaussianNB()").learn([heavy])
    assert "weight: 3.0" in refuses.rejected[0].reason


@pytest.mark.parametrize("state", [b"", b"nonsense", pickle.dumps(1)[:-1], b"cnosuch\nThing\n."])
def test_a_state_that_is_none_is_an_error(state: bytes) -> None:
    with pytest.raises(LearnerError, match="river: state cannot be loaded"):
        River(SCALED + "LogisticRegression()").restore(state)


def test_a_state_that_cannot_be_loaded_changes_nothing() -> None:
    learner = after("river mixed", stream("river mixed", 50))
    state = learner.state()
    with pytest.raises(LearnerError):
        learner.restore(b"nonsense")
    assert learner.state() == state


def test_equal_texts_and_sets_are_one_in_every_state() -> None:
    one = River(MIXED)
    for name in ("a", "b", "c", "d"):
        one.learn([row({"": {"x": "v" + name, name: 1.0}})])
    other = River(MIXED)
    for name in ("a", "b", "c", "d"):
        other.learn([row({"".join([]): {"".join(["x"]): "".join(["v", name]), "".join([name, ""]): 1.0}})])
        other.restore(other.state())
    assert one.state() == other.state()


def test_the_mixed_pipeline_learns_what_text_says() -> None:
    learner = River(MIXED)
    rows = [row({"": {"c": "good" if number % 2 else "bad", "n": 1.0}}, float(number % 2)) for number in range(600)]
    learner.learn(rows)
    assert learner.predict(rows[1]) > 0.7
    assert learner.predict(rows[0]) < 0.3


@pytest.mark.parametrize("value", [1e15, -1e15, 1e-300])
def test_numbers_of_any_accepted_size_give_finite_predictions(value: float) -> None:
    learner = River(SCALED + "LogisticRegression()")
    rows = [row({"": {"a": value * (number % 3), "b": 1.0}}, float(number % 2)) for number in range(50)]
    assert np.isfinite(learner.learn(rows).predictions).all()
    assert np.isfinite(learner.predict(rows[0]))


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("river")])
def test_a_state_is_taken_without_touching_what_is_learnt(name: str) -> None:
    examples = stream(name)
    saved = CASES[name].make()
    for example in examples:
        saved.learn([example])
        saved.state()
    assert resumed(name, saved.state()).state() == after(name, examples).state()
