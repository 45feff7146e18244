"""The dictionary of names: a function of the examples learnt, wherever the stream was cut, and bounded."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints.checkpoint import Checkpoint
from formats.example import Example
from stream_app import config, names, wiring
from stream_app.names import Names, coverage, pairs
from stream_app.sources.source import Records
from stream_app.trainer import Trainer


class Letters:
    """Dead letters of a test, thrown away."""

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        pass


def line(number: int) -> bytes:
    """VW text with names that repeat, names of this line alone, values, weights and namespaces of all kinds."""
    return b"%d |f:2 a=%d b:%d.5 |g |g  c\td=%d | plain%d:3 :1" % (
        number % 2 * 2 - 1,
        number % 7,
        number,
        number,
        number % 50,
    )


def plain_line(number: int) -> bytes:
    """One namespace, some names that repeat and some of this line alone."""
    return b"1 |f a=%d b:%d.5 plain%d c" % (number % 7, number, number // 3)


def trainer(most: int = 1000, every: int = 1, first: int = 16_384) -> Trainer:
    learner_settings = {"names": most, "names_every": every, "names_first": first}
    tree = config.of({"learner": learner_settings, "events": {"format": "vw"}})
    learner = wiring.build_learner(tree)
    return wiring.build_trainer(tree, learner, wiring.build_format(tree, learner.traits), Letters())


def learn(learning: Trainer, payloads: Sequence[bytes]) -> None:
    for _ in learning.learn(Records(0, learning.position.get(0, 0), list(payloads), 0.0)):
        pass


def saved(learning: Trainer) -> Checkpoint:
    checkpoint = learning.snapshot().checkpoint()
    learning.settle(checkpoint.id)
    return checkpoint


def example(text: bytes) -> Example:
    return Example(1.0, 1.0, text)


def seen(texts: Sequence[bytes], most: int = 1000, every: int = 1, first: int = 16_384) -> Names:
    dictionary = Names(most, every, first)
    dictionary.see([example(text) for text in texts])
    return dictionary


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(1, 200), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30),
    most=st.sampled_from([0, 5, 60, 1000]),
    every=st.sampled_from([1, 3, 16]),
    first=st.sampled_from([0, 100, 16_384]),
    cached=st.sampled_from([3, 32_768]),
    pending=st.sampled_from([1, 10, 4096]),
    written=st.sampled_from([line, plain_line]),
)
def test_a_trainer_restarted_anywhere_has_the_names_of_one_that_never_was(
    cuts: list[tuple[int, bool, int]],
    most: int,
    every: int,
    first: int,
    cached: int,
    pending: int,
    written: Callable[[int], bytes],
) -> None:
    payloads = [written(number) for number in range(400)]
    payloads[50:50] = [b"no bar", b"1 |f a:nan"]
    with pytest.MonkeyPatch.context() as patch:
        never = trainer(most, every, first)
        learn(never, payloads)
        patch.setattr(names, "CACHED_TOKENS", cached)
        patch.setattr(names, "PENDING_DIGESTS", pending)
        living = trainer(most, every, first)
        place = 0
        for size, is_restarted, predicted in [*cuts, (len(payloads), True, 0)]:
            learn(living, payloads[place : place + size])
            place = living.position[0]
            for number in range(predicted):
                asked = living.parts.format.decode([b"|f asked=%d" % number]).examples[0]
                living.parts.learner.predict(asked)
            if is_restarted:
                checkpoint = saved(living)
                living = trainer(most, every, first)
                living.restore(checkpoint)
    assert saved(living).blobs["names"] == saved(never).blobs["names"]


def test_names_stand_once_in_the_order_of_their_first_appearance() -> None:
    state = seen([b"1 'tag|f b a:1 |g b", b"|f a:7 c\tb | x  |f d", b"1:2 | y:1"]).state()
    assert list(pairs(state)) == [
        (b"f", b"b"), (b"f", b"a"), (b"g", b"b"), (b"f", b"c"), (b"", b"x"), (b"f", b"d"), (b"", b"y"),
    ]  # fmt: skip
    assert coverage(state).names == 7


def test_groups_of_lines_give_the_names_of_every_line() -> None:
    state = seen([b"shared |s u\n1:2:0.5 |a x:1\n|a y"]).state()
    assert list(pairs(state)) == [(b"s", b"u"), (b"a", b"x"), (b"a", b"y")]


def test_a_full_dictionary_keeps_what_it_has_and_counts_what_it_leaves_out() -> None:
    dictionary = seen([b"|f a b c c", b"|f c a d"], most=2)
    assert list(pairs(dictionary.state())) == [(b"f", b"a"), (b"f", b"b")]
    assert coverage(dictionary.state()) == names.Coverage(names=2, examples=2, looked_at=2, left_out=4)


def test_after_the_first_examples_one_in_so_many_is_looked_at() -> None:
    dictionary = seen([b"|f x%d" % number for number in range(40)], every=8, first=10)
    found = [int(name[1:]) for _, name in pairs(dictionary.state())]
    assert found == [*range(10), 16, 24, 32]
    assert dictionary.coverage.looked_at == 13


def test_a_bound_of_zero_keeps_what_was_restored_and_adds_nothing() -> None:
    dictionary = Names(0, 1)
    dictionary.restore(seen([b"|f a"]).state())
    dictionary.see([example(b"|f b")])
    assert list(pairs(dictionary.state())) == [(b"f", b"a")]
    assert coverage(dictionary.state()).examples == 2


def test_a_checkpoint_from_before_there_were_names_loads() -> None:
    old = trainer()
    learn(old, [line(1)])
    checkpoint = saved(old)
    blobs = {name: blob for name, blob in checkpoint.blobs.items() if name != "names"}
    restored = trainer()
    learn(restored, [line(2)])
    restored.restore(Checkpoint.of(checkpoint.manifest, blobs))
    assert coverage(saved(restored).blobs["names"]) == names.Coverage()


def test_a_blob_that_is_no_dictionary_is_refused() -> None:
    with pytest.raises(ValueError, match="names: b'junk'"):
        Names(5, 1).restore(b"junk\nf a\n")


def test_a_bounded_run_looks_at_more_examples_where_the_model_is_kept_and_at_none_where_it_is_not() -> None:
    tree = config.of({})
    assert wiring.with_names(tree, True).learner == msgspec.structs.replace(tree.learner, names_first=262_144)
    assert wiring.with_names(tree, False).learner.names == 0


def test_a_bounded_run_looks_at_as_many_examples_as_one_says() -> None:
    tree = config.of({"learner": {"names_first": 7}})
    assert wiring.with_names(tree, True).learner.names_first == 7
