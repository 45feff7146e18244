"""The label join: each id once, whichever comes first, in bounded state, and the same however it is cut."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joined_records import (
    WAIT_S,
    Partition,
    completed,
    label_record,
    new_join,
    prediction_record,
    shuffled,
    slowly,
)

from stream_app.label_join import Record, ends_of

RECORDS = st.lists(
    st.builds(
        lambda is_label, number, time_s: (label_record if is_label else prediction_record)(number, time_s),
        st.booleans(),
        st.integers(0, 5),
        st.integers(0, 500).map(float),
    ),
    max_size=60,
)


def cut(records: list[Record], places: list[int]) -> list[list[Record]]:
    edges = sorted({0, len(records), *(place % (len(records) + 1) for place in places)})
    return [records[first:last] for first, last in pairwise(edges)]


def test_a_label_completes_its_prediction_whichever_comes_first() -> None:
    partition = Partition()
    partition.take(prediction_record(1), label_record(2))
    partition.take(label_record(1), prediction_record(2))
    assert partition.events == [completed(1), completed(2)]
    assert partition.dead == []


def test_a_second_label_and_a_repeated_prediction_of_a_done_id_change_nothing() -> None:
    partition = Partition()
    partition.take(prediction_record(1), label_record(1), label_record(1), prediction_record(1, version=2))
    partition.take(label_record(1), prediction_record(1))
    assert partition.events == [completed(1)]
    assert partition.counts == {"joined": 1, "duplicates": 2, "repeated": 2}


def test_a_second_prediction_replaces_the_first_while_that_waits() -> None:
    partition = Partition()
    partition.take(prediction_record(1), prediction_record(1, version=2))
    partition.take(label_record(1))
    assert partition.events == [completed(1, version=2)]


def test_a_prediction_without_a_label_expires_and_its_label_is_late_then() -> None:
    partition = Partition()
    partition.take(prediction_record(1, offset=7))
    step = partition.take(label_record(2, WAIT_S + 1))
    assert [(letter.id, letter.offset, letter.content) for letter in step.dead] == [
        (b"e1", 7, prediction_record(1).content)
    ]
    partition.take(label_record(1, WAIT_S + 2))
    assert partition.counts == {"expired_predictions": 1, "late_labels": 1}
    assert partition.events == []


def test_a_label_without_a_prediction_expires() -> None:
    partition = Partition()
    partition.take(label_record(1))
    partition.take(prediction_record(2, WAIT_S + 1))
    assert partition.dead == ["no prediction of this id"]
    partition.take(prediction_record(1, WAIT_S + 1))
    assert partition.events == []


def test_what_is_over_is_over_also_where_nobody_has_looked_yet() -> None:
    partition = Partition()
    for number in range(10):
        partition.take(prediction_record(number))
    partition.take(label_record(9, WAIT_S + 1))
    assert partition.events == []
    assert partition.counts["late_labels"] == 1


def test_an_impossible_label_is_dead_and_its_prediction_waits_on() -> None:
    partition = Partition()
    partition.take(prediction_record(1), label_record(1, value="maybe"), label_record(2, value=17))
    partition.take(prediction_record(2), label_record(1), label_record(2))
    assert partition.events == [completed(1), completed(2)]
    assert partition.counts["impossible_labels"] == 2


def test_an_event_that_is_too_large_or_cannot_be_decoded_is_dead() -> None:
    partition = Partition(new_join(max_bytes=50))
    partition.take(prediction_record(1), label_record(1))
    partition.take(
        Record(False, b"x", b'{"id": "x", "features": 3}', 0.0, 0), Record(True, b"x", b'{"id":"x","label":1}', 0, 0)
    )
    assert partition.events == []
    assert [reason.split(" of ")[0] for reason in partition.dead] == ["event", "features"]


@pytest.mark.parametrize("seed", range(3))
def test_all_labels_find_their_predictions_in_any_order(seed: int) -> None:
    records = shuffled(300, random.Random(seed))
    partition = Partition()
    for batch in cut(records, random.Random(seed).sample(range(750), 40)):
        partition.take(*batch)
    assert sorted(partition.events) == sorted(completed(number) for number in range(300))
    ends = ends_of(partition.state.get)
    assert (ends.predictions, ends.labels) == (0, 0)


@given(records=RECORDS, places=st.lists(st.integers(0, 60)))
def test_it_does_what_the_rules_say_however_it_is_cut(records: list[Record], places: list[int]) -> None:
    partition = Partition()
    for batch in cut(records, places):
        partition.take(*batch)
    assert partition.events == slowly(records)


@given(records=RECORDS, places=st.lists(st.integers(0, 60)), kill=st.integers(0, 60), done=st.integers(0, 8))
def test_killed_while_it_writes_it_repeats_no_event_but_of_the_batch_under_way(
    records: list[Record], places: list[int], kill: int, done: int
) -> None:
    partition, again = Partition(), []
    for number, batch in enumerate(cut(records, places)):
        if number == kill:
            step = new_join().join(partition.state.get, batch)
            partition.write(step, done)
            again = [event for _, event in step.events]
        partition.take(*batch)
    assert [event for event in slowly(records) if event not in partition.events + again] == []
    assert len(partition.events) <= len(slowly(records))


def test_the_state_is_bounded_by_what_came_within_the_wait() -> None:
    partition, sizes = Partition(), []
    for second in range(2000):
        records = [prediction_record(3 * second + n, float(second)) for n in range(3)]
        partition.take(*records, label_record(3 * second, float(second)), label_record(-second, float(second)))
        sizes.append(len(partition.state))
    assert max(sizes[1000:]) <= max(sizes[:1000])
    assert max(sizes) < 2 * WAIT_S * 5 * 1.3
    ends = ends_of(partition.state.get)
    assert 0 < ends.predictions <= 2 * WAIT_S + 4
    assert partition.counts["joined"] == 2000


def test_one_batch_lets_go_of_a_few_old_ids_only() -> None:
    partition = Partition()
    for number in range(1000):
        partition.take(prediction_record(number))
    step = partition.take(prediction_record(5000, 10 * WAIT_S))
    assert len(step.changes) < 10
