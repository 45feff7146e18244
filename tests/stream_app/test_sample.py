"""The sample of what was learnt: a function of the examples learnt, wherever the stream was cut, and bounded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_names import Letters, learn, line, plain_line, saved

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint, Note
from formats.example import Example, Lines
from stream_app import config, sample, wiring
from stream_app.proof import prove
from stream_app.sample import EVERY, MOST, Sample, sampled
from stream_app.sources.memory import MemorySource
from stream_app.trainer import Trainer


def json_line(number: int) -> bytes:
    """The same as a JSON event; one in five comes again, one in seven is not labelled yet."""
    event = {"id": f"e{number // 5 * 5 if number % 5 == 1 else number}", "features": {"f": {"a": number, "b": "x"}}}
    return json.dumps(event if number % 7 == 0 else event | {"label": number % 2}).encode()


def trainer(kind: str = "vw", format_: str = "vw") -> Trainer:
    args = "linear_model.LogisticRegression()" if kind == "river" else "--loss_function logistic"
    tree = config.of({"learner": {"kind": kind, "args": args}, "events": {"format": format_}})
    learner = wiring.build_learner(tree)
    return wiring.build_trainer(tree, learner, wiring.build_format(tree, learner.traits), Letters())


def example(number: int, size: int = 1) -> Example:
    return Example(1.0, 1.0, b"1 |f a%d:%d" % (number, 10**size))


def seen(count: int, most: int = MOST) -> Sample:
    found = Sample(most, "text")
    found.see([example(number) for number in range(count)])
    return found


def numbers(state: bytes) -> list[int]:
    return [int(one.text.partition(b"a")[2].partition(b":")[0]) for one in sampled(state, "text")]


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(1, 200), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30),
    most=st.sampled_from([3, 20, 512]),
    held=st.sampled_from([0, 3_000, 4 << 20]),
    longest=st.sampled_from([30, 16 << 10]),
    shape=st.sampled_from([("vw", "vw", line), ("vw", "vw", plain_line), ("vw", "json", json_line)]),
)
def test_a_trainer_restarted_anywhere_has_the_sample_of_one_that_never_was(
    cuts: list[tuple[int, bool, int]],
    most: int,
    held: int,
    longest: int,
    shape: tuple[str, str, Callable[[int], bytes]],
) -> None:
    kind, format_, written = shape
    payloads = [written(number) for number in range(600)]
    payloads[50:50] = [b"no bar", b"1 |f a:nan"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "MOST", most)
        patch.setattr(wiring, "SAMPLED", most)
        patch.setattr(sample, "LONGEST_BYTES", longest)
        never = trainer(kind, format_)
        learn(never, payloads)
        patch.setattr(sample, "HELD_BYTES", held)
        living = trainer(kind, format_)
        for size, is_restarted, predicted in [*cuts, (len(payloads), True, 0)]:
            learn(living, payloads[living.position.get(0, 0) :][:size])
            for number in range(predicted):
                living.parts.learner.predict(living.parts.format.decode([written(number)]).examples[0])
            if is_restarted:
                checkpoint = saved(living)
                living = trainer(kind, format_)
                living.restore(checkpoint)
        assert saved(living).blobs["sample"] == saved(never).blobs["sample"]


def test_a_river_learner_restarted_has_the_features_it_was_shown() -> None:
    never, living = trainer("river", "json"), trainer("river", "json")
    payloads = [json.dumps({"label": number % 2, "features": {"a": number / 7}}).encode() for number in range(200)]
    learn(never, payloads)
    learn(living, payloads[:90])
    checkpoint = saved(living)
    living = trainer("river", "json")
    living.restore(checkpoint)
    learn(living, payloads[90:])
    state = saved(living).blobs["sample"]
    assert state == saved(never).blobs["sample"]
    assert [one.features for one in sampled(state, "features")] == [{"": {"a": n / 7}} for n in range(0, 200, EVERY)]


def test_every_so_many_examples_are_kept_by_their_number_in_the_stream_and_the_last_of_them() -> None:
    assert numbers(seen(50).state()) == [0, 16, 32, 48]
    assert numbers(seen(100, most=3).state()) == [64, 80, 96]
    state = seen(10_000).state()
    assert numbers(state) == [*range(0, 10_000, EVERY)][-MOST:]


def test_columns_of_lines_give_what_examples_one_by_one_give() -> None:
    texts = [example(number).text for number in range(100)]
    found = Sample(MOST, "text")
    found.see(Lines(b"\n".join(texts), [1.0] * 100, [1.0] * 100))
    assert found.state() == seen(100).state()


def test_examples_that_are_too_long_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LONGEST_BYTES", 12)
    found = Sample(MOST, "text")
    found.see([example(number, size=1 + number // 32 * 20) for number in range(64)])
    assert numbers(found.state()) == [0, 16]
    assert found.state().startswith(b'{"examples":64,"too_long":2}\n')


def test_a_bound_of_zero_keeps_what_was_restored_and_adds_nothing() -> None:
    found = Sample(0, "text")
    found.restore(seen(20).state())
    found.see([example(number) for number in range(20, 64)])
    assert numbers(found.state()) == [0, 16]


def test_features_with_bytes_that_are_no_text_are_kept_as_they_are() -> None:
    features = {"f": {"na\udcffme": "x", "b": [1 << 70, True, None]}}
    found = Sample(MOST, "features")
    found.see([Example(1.0, 1.0, b"", features)])  # type: ignore[arg-type]
    assert [one.features for one in sampled(found.state(), "features")] == [features]


def test_groups_of_lines_leave_no_sample() -> None:
    tree = config.of({"learner": {"args": "--cb_explore_adf"}, "model": {"task": "bandit"}, "events": {"format": "vw"}})
    learner = wiring.build_learner(tree)
    groups = wiring.build_trainer(tree, learner, wiring.build_format(tree, learner.traits), Letters())
    learn(groups, [b"shared |s u\n1:2:0.5 |a x\n|a y"] * 20)
    assert saved(groups).blobs["sample"] == b'{"examples":20,"too_long":0}\n'


def test_a_checkpoint_from_before_there_was_a_sample_loads() -> None:
    old = trainer()
    learn(old, [line(1)])
    checkpoint = saved(old)
    blobs = {name: blob for name, blob in checkpoint.blobs.items() if name != "sample"}
    restored = trainer()
    learn(restored, [line(2)])
    restored.restore(Checkpoint.of(checkpoint.manifest, blobs))
    assert saved(restored).blobs["sample"] == Sample(MOST, "text").state()
    assert not list(sampled(b"", "text"))


async def test_what_was_made_without_learning_of_a_parent_without_a_sample_is_proven(tmp_path: Path) -> None:
    store, old = open_store(str(tmp_path)), trainer()
    learn(old, [line(1)])
    whole = saved(old)
    parent = Checkpoint.of(whole.manifest, {name: blob for name, blob in whole.blobs.items() if name != "sample"})
    store.save(parent, Note.now("test", "0"), None)
    taken_over = trainer()
    taken_over.restore(parent)
    child = saved(taken_over)
    store.save(child, Note.now("test", "0"), parent.id)
    found = await prove(config.of({"events": {"format": "vw"}}), store, MemorySource(partitions=1), child.id)
    assert (found.outcome, "sample" in child.blobs) == ("proven", True)


def test_a_blob_that_is_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="sample: b'junk'"):
        Sample(5, "text").restore(b"junk\n1 |f a\n")
