"""What every learner promises, whichever it is and however it is configured."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from learner_samples import CASES, EXACT, NOT_EXACT, TRACELESS, after, learn_in_batches, resumed, stream

from formats.example import Example
from learners.learner import Learner

ROOT = Path(__file__).parents[2]


def scalar(learner: Learner, example: Example) -> float:
    """A served answer as the one number that `learn` reports: the best action or class of a list is its position."""
    answer = learner.predict(example)
    if not isinstance(answer, list):
        return float(answer)
    arguments = learner.traits.arguments
    best = min(answer) if "--cb_adf" in arguments else max(answer)
    return float(answer.index(best) + 1)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.predicts_first])
def test_learn_reports_the_predictions_made_before_each_update(name: str) -> None:
    examples = stream(name)
    learner, twin = CASES[name].make(), CASES[name].make()
    twin.learn(examples[:2])
    learner.learn(examples[:2])
    for example in examples[2:]:
        before = scalar(twin, example)
        (reported,) = learner.learn([example]).predictions
        twin.learn([example])
        assert reported == pytest.approx(before, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", TRACELESS)
def test_predict_leaves_no_trace_in_the_state(name: str) -> None:
    learner = after(name, stream(name))
    state = learner.state()
    answers = [learner.predict(example) for example in stream(name, 50, seed=2)]
    assert learner.state() == state
    assert [learner.predict(example) for example in stream(name, 50, seed=2)] == answers


@pytest.mark.parametrize("name", TRACELESS)
def test_what_is_learnt_does_not_depend_on_predictions_between(name: str) -> None:
    examples = stream(name)
    busy = CASES[name].make()
    for example, other in zip(examples, stream(name, seed=2), strict=True):
        busy.predict(other)
        busy.learn([example])
        busy.predict(example)
    assert busy.state() == after(name, examples).state()


@pytest.mark.parametrize("name", CASES)
def test_predict_does_not_read_the_label(name: str) -> None:
    traits = CASES[name].make().traits
    learner = after(name, stream(name, 100))
    example = stream(name, 3, seed=3)[0]
    head, bar, rest = example.text.partition(b"|")
    if traits.is_multiline or traits.reads == "features" or not CASES[name].is_traceless:
        return
    bare = Example(None, 1.0, bar + rest)
    assert head.strip() or example.label is None
    assert learner.predict(example) == learner.predict(bare)


@pytest.mark.parametrize("name", CASES)
def test_a_restored_state_predicts_and_saves_alike(name: str) -> None:
    learner = after(name, stream(name))
    state = learner.state()
    twin = resumed(name, state)
    assert twin.state() == state
    if CASES[name].is_traceless:
        examples = stream(name, 30, seed=2)
        assert [twin.predict(example) for example in examples] == [learner.predict(example) for example in examples]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("at", [0, 1, 150])
def test_stopped_and_resumed_is_never_stopped_byte_for_byte(name: str, at: int) -> None:
    examples = stream(name)
    stopped = resumed(name, after(name, examples[:at]).state())
    rest = learn_in_batches(stopped, examples[at:], 64)
    whole = after(name, examples[:at])
    assert [learnt.predictions.tobytes() for learnt in learn_in_batches(whole, examples[at:], 64)] == [
        learnt.predictions.tobytes() for learnt in rest
    ]
    assert stopped.state() == whole.state()


@pytest.mark.parametrize("name", CASES)
def test_the_traits_say_whether_resuming_is_exact(name: str) -> None:
    assert CASES[name].make().traits.exact_resume == (name not in NOT_EXACT)


@pytest.mark.parametrize("name", CASES)
def test_how_examples_are_cut_into_batches_changes_nothing(name: str) -> None:
    examples = stream(name)
    one, other = CASES[name].make(), CASES[name].make()
    learnt = [learn_in_batches(one, examples, 1), learn_in_batches(other, examples, 97)]
    assert one.state() == other.state()
    for column in ("predictions", "losses"):
        columns = [np.concatenate([getattr(part, column) for part in parts]) for parts in learnt]
        assert columns[0].tobytes() == columns[1].tobytes()


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_learnt_from_an_empty_batch(name: str) -> None:
    learner = after(name, stream(name, 50))
    state = learner.state()
    learnt = learner.learn([])
    assert learnt.predictions.shape == learnt.losses.shape == (0,)
    assert learner.state() == state


@pytest.mark.parametrize("name", CASES)
def test_every_column_is_finite_and_an_unlabelled_row_has_no_loss(name: str) -> None:
    examples = stream(name)
    learnt = CASES[name].make().learn(examples)
    assert learnt.predictions.dtype == learnt.losses.dtype == np.float64
    assert learnt.predictions.shape == learnt.losses.shape == (len(examples),)
    assert list(learnt.rejected) == []
    assert np.isfinite(learnt.predictions).all()
    assert np.isfinite(learnt.losses).all()
    unlabelled = [row for row, example in enumerate(examples) if example.label is None]
    assert unlabelled
    assert (learnt.losses[unlabelled] == 0.0).all()


@pytest.mark.parametrize("name", CASES)
def test_emerging_features_change_no_prediction_of_the_others(name: str) -> None:
    learner = after(name, stream(name))
    assert all(np.isfinite(scalar(learner, example)) for example in stream(name, 20, seed=9))


HASHED = """
import hashlib, sys
from learner_samples import after, resumed, stream
for name in sys.argv[1:]:
    examples = stream(name, 240)
    whole = after(name, examples)
    parted = resumed(name, after(name, examples[:120]).state())
    parted.learn(examples[120:])
    print(name, *[hashlib.sha256(learner.state()).hexdigest() for learner in (whole, parted)])
"""


def test_river_states_are_equal_in_processes_with_different_hash_seeds() -> None:
    names = [name for name in CASES if name.startswith("river")]
    printed = set()
    for seed in ("0", "1", "4242"):
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", HASHED, *names], env=environment, capture_output=True, text=True, check=True
        )
        printed.add(done.stdout)
    (only,) = printed
    assert all(line.split()[-1] == line.split()[-2] for line in only.splitlines())
    assert len(only.splitlines()) == len(names)
