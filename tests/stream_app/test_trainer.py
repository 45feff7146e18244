"""The trainer: what it has learnt is a function of a checkpoint and the records after it, wherever it stopped."""

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weir_process import DECIDING, synthetic

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Hole
from stream_app import config, wiring
from stream_app.derived import replayed_from, skipped_to_here
from stream_app.sources.memory import CRASH, Crash, MemorySource
from stream_app.sources.source import Order, Position, Records
from stream_app.trainer import Trainer, TrainerError

EVENTS = synthetic(300)
EVENTS[100:100] = [b"poison", EVENTS[7], b"[" + b",".join(synthetic(300, first=300)) + b"]", b"[poison"]
CELLS = [
    {"actual": actual, "predicted": predicted, "value": 3.0 * (actual == predicted) - actual}
    for actual in (0, 1)
    for predicted in (0, 1)
]
SETTINGS = config.of({"events": {"dedupe_window": 50}, "value": {"cells": CELLS}})


class Letters:
    """Dead letters of a test, by place."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[int, int], str] = {}

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        self.reasons[partition, offset] = reason


def new_trainer(args: str | None = None, letters: Letters | None = None) -> Trainer:
    tree = SETTINGS if args is None else config.replaced(SETTINGS, "learner", args=args)
    learner = wiring.build_learner(tree)
    return wiring.build_trainer(tree, learner, wiring.build_format(tree, learner.traits), letters or Letters())


def learn(trainer: Trainer, payloads: Sequence[bytes], partition: int = 0) -> None:
    offset = trainer.position.get(partition, 0)
    for _ in trainer.learn(Records(partition, offset, list(payloads), 0.0)):
        pass


def saved(trainer: Trainer) -> Checkpoint:
    checkpoint = trainer.snapshot().checkpoint()
    trainer.settle(checkpoint.id)
    return checkpoint


def deciding(checkpoint: Checkpoint) -> dict[str, bytes]:
    return {name: checkpoint.blobs[name] for name in (*DECIDING, "value")}


async def lives(source: MemorySource, size: int, every: int) -> Checkpoint:
    """Read to the end; after each crash a new trainer goes on from the last checkpoint, taken every so many batches."""
    last: Checkpoint | None = None
    while True:
        trainer = new_trainer()
        if last is not None:
            trainer.restore(last)
        try:
            number = 0
            async for records in source.read(dict(trainer.position), size=size):
                for _ in trainer.learn(records):
                    pass
                number += 1
                if number % every == 0:
                    last = saved(trainer)
        except Crash:
            continue
        return saved(trainer)


async def source_of(partitions: int, crashes: set[int], each: int = 17) -> MemorySource:
    """All events, `each` to an append and so to a partition in turn; with crashes before some of them."""
    source = MemorySource(partitions=partitions, is_bounded=True)
    for first in range(0, len(EVENTS), each):
        part = []
        for index in range(first, min(first + each, len(EVENTS))):
            part += [CRASH, EVENTS[index]] if index in crashes else [EVENTS[index]]
        await source.append(part)
    return source


@settings(max_examples=15, deadline=None)
@given(
    crashes=st.sets(st.integers(0, len(EVENTS) - 1), max_size=5),
    partitions=st.integers(1, 3),
    size=st.integers(1, 90),
    every=st.integers(1, 4),
)
def test_crashes_anywhere_end_in_the_bytes_of_none(crashes: set[int], partitions: int, size: int, every: int) -> None:
    async def compare() -> None:
        crashed = await lives(await source_of(partitions, crashes), size, every)
        never = await lives(await source_of(partitions, set()), 128, 1_000)
        assert deciding(crashed) == deciding(never)
        assert crashed.manifest.position == never.manifest.position

    asyncio.run(compare())


@given(order=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_an_order_of_partitions_is_learnt_exactly_and_stands_in_the_checkpoint(order: Order) -> None:
    async def compare() -> None:
        source = MemorySource(partitions=3, is_bounded=True)
        for _ in range(3):
            await source.append(EVENTS)
        followed, left = new_trainer(), sum(count for _, count in order)
        async for records in source.read({}, order, 13):
            if left <= 0:
                break
            learn(followed, records.payloads, records.partition)
            left -= len(records.payloads)
        expected, reached = new_trainer(), dict.fromkeys(range(3), 0)
        for partition, count in order:
            learn(expected, EVENTS[reached[partition] : reached[partition] + count], partition)
            reached[partition] += count
        last = saved(expected)
        assert deciding(saved(followed)) == deciding(last)
        runs = msgspec.msgpack.decode(last.blobs["order"], type=Order)
        assert joined(runs) == joined(order) == runs

    asyncio.run(compare())


def joined(order: Order) -> Order:
    runs: Order = []
    for partition, count in order:
        if runs and runs[-1][0] == partition:
            count += runs.pop()[1]
        runs.append((partition, count))
    return runs


def test_a_checkpoint_that_was_not_saved_loses_nothing_of_the_stretch() -> None:
    trainer = new_trainer()
    first = saved(trainer)
    learn(trainer, EVENTS[:50])
    trainer.snapshot()
    learn(trainer, EVENTS[50:80])
    trainer.settle(None)
    learn(trainer, EVENTS[80:99], partition=1)
    checkpoint = saved(trainer)
    manifest = checkpoint.manifest
    assert manifest.parent == first.id
    assert manifest.since_parent.sha256 == hashlib.sha256(b"".join(e + b"\n" for e in EVENTS[:99])).hexdigest()
    assert (manifest.since_parent.records, manifest.since_parent.examples) == (99, 99)
    assert msgspec.msgpack.decode(checkpoint.blobs["order"], type=Order) == [(0, 80), (1, 19)]


def test_what_was_learnt_while_a_checkpoint_was_written_belongs_to_the_next() -> None:
    trainer = new_trainer()
    learn(trainer, EVENTS[:50])
    first = trainer.snapshot().checkpoint()
    learn(trainer, EVENTS[50:80])
    trainer.settle(first.id)
    manifest = saved(trainer).manifest
    assert (manifest.parent, manifest.since_parent.records) == (first.id, 30)
    assert manifest.since_parent.sha256 == hashlib.sha256(b"".join(e + b"\n" for e in EVENTS[50:80])).hexdigest()


def test_equal_records_make_equal_ids_however_they_are_cut() -> None:
    one, other = new_trainer(), new_trainer()
    learn(one, EVENTS)
    for first in range(0, len(EVENTS), 7):
        learn(other, EVENTS[first : first + 7])
    assert saved(one).id == saved(other).id


def test_a_dead_letter_has_the_offset_of_its_record_also_between_exceptions() -> None:
    letters = Letters()
    trainer = new_trainer(letters=letters)
    start = saved(trainer)
    trainer.restore(replayed_from(trainer, start, [Hole(partition=0, first=2, last=5, why="test")]))
    learn(trainer, [*EVENTS[:6], b"poison", *EVENTS[6:9], b""])
    assert letters.reasons.keys() == {(0, 6), (0, 10)}
    assert (trainer.counts.excepted, trainer.counts.dead_letters) == (3, 2)


def test_holes_passed_in_several_stretches_stand_joined_in_the_manifest() -> None:
    trainer = new_trainer()
    hole = Hole(partition=0, first=20, last=60, why="poison")
    trainer.restore(replayed_from(trainer, saved(trainer), [hole]))
    seen: list[tuple[list[Hole], list[Hole]]] = []
    for first in range(0, 75, 25):
        learn(trainer, EVENTS[first : first + 25])
        manifest = saved(trainer).manifest
        seen.append((manifest.holes, manifest.except_))
    halves = [msgspec.structs.replace(hole, last=25), msgspec.structs.replace(hole, first=25)]
    assert seen[0] == (halves[:1], halves[1:])
    assert seen[2] == ([hole], [])


def test_a_rollback_changes_nothing_until_it_is_restored() -> None:
    trainer = new_trainer()
    learn(trainer, EVENTS[:50])
    first = saved(trainer)
    learn(trainer, EVENTS[50:90])
    skipped_to_here(trainer, first)
    replayed_from(trainer, first, [])
    expected = new_trainer()
    learn(expected, EVENTS[:90])
    assert deciding(saved(trainer)) == deciding(saved(expected))


def test_skipping_records_the_gap_of_each_partition() -> None:
    trainer = new_trainer()
    learn(trainer, EVENTS[:50])
    first = saved(trainer)
    learn(trainer, EVENTS[:20], partition=1)
    skipped = skipped_to_here(trainer, first)
    why = f"rolled back to {first.id} with --skip"
    assert skipped.manifest.holes == [Hole(partition=1, first=0, last=20, why=why)]
    position: Position = {0: 50, 1: 20}
    assert (skipped.manifest.position, skipped.manifest.parent) == (position, first.id)
    assert skipped.blobs["learner"] == first.blobs["learner"]


def test_a_record_interrupted_by_an_error_leaves_a_trainer_that_is_not_whole() -> None:
    trainer = new_trainer()
    learning = trainer.learn(Records(0, 0, [b"[" + b",".join(synthetic(300)) + b"]"], 0.0))
    next(learning)
    learning.close()
    assert not trainer.is_whole
    trainer.restore(saved(new_trainer()))
    assert trainer.is_whole


def test_a_checkpoint_of_other_arguments_is_refused() -> None:
    other = saved(new_trainer("--loss_function logistic --link logistic -q ff"))
    for take in (Trainer.restore, skipped_to_here):
        with pytest.raises(TrainerError, match="-q ff"):
            take(new_trainer(), other)


@pytest.mark.parametrize("name", ["learner", "progressive", "names", "sample", "dedupe", "counts", "value"])
def test_a_checkpoint_that_does_not_fit_in_one_part_changes_none(name: str) -> None:
    trainer = new_trainer()
    learn(trainer, EVENTS[:50])
    before = saved(trainer)
    learn(trainer, EVENTS[50:90])
    after = deciding(saved(trainer))
    odd = {**before.blobs, name: b"\xc1"}
    with pytest.raises(TrainerError, match="sha256"):
        trainer.restore(Checkpoint.of(before.manifest, odd))
    assert deciding(saved(trainer)) == after
    assert trainer.position == {0: 90}


def test_one_that_learnt_nothing_is_a_beginning_whether_restored_or_not() -> None:
    never_stopped = new_trainer()
    first = saved(never_stopped)
    restored = new_trainer()
    restored.restore(first)
    for trainer in (never_stopped, restored):
        learn(trainer, EVENTS[:10])
    assert saved(never_stopped).id == saved(restored).id
