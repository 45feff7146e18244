"""The order journal: followed exactly, whatever a crash, a checkpoint or a rollback left in it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stream_app.journal import Journal
from stream_app.sources.source import Order, Position

ENTRY_BYTES = 14
MODEL_ID = "sha256." + "ab" * 32
runs = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50)), max_size=30)


def written(path: Path, order: Order, position: Position | None = None) -> Position:
    """Note these runs one after the other, from `position` on; returns where they end."""
    journal, reached = Journal(path), dict(position or {})
    journal.order_after(reached)
    for partition, count in order:
        journal.note(partition, reached.get(partition, 0), count)
        reached[partition] = reached.get(partition, 0) + count
    journal.close()
    return reached


def read(path: Path, position: Position) -> Order:
    journal = Journal(path)
    try:
        return journal.order_after(position)
    finally:
        journal.close()


@given(before=runs, after=runs)
def test_what_follows_a_checkpoint_is_given_back_in_order(tmp_path_factory, before: Order, after: Order) -> None:
    path = tmp_path_factory.mktemp("journal") / "order.journal"
    checkpoint = written(path, before)
    written(path, after, checkpoint)
    assert read(path, checkpoint) == after
    assert read(path, {}) == before + after


@given(order=runs.filter(bool), torn=st.integers(1, ENTRY_BYTES - 1))
def test_an_entry_torn_by_a_crash_is_ignored_and_what_comes_after_is_not(
    tmp_path_factory, order: Order, torn: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "order.journal"
    written(path, order)
    with path.open("r+b") as file:
        file.truncate(len(order) * ENTRY_BYTES - torn)
    reached: Position = {}
    for partition, count in order[:-1]:
        reached[partition] = reached.get(partition, 0) + count
    written(path, [(1, 7)], reached)
    assert read(path, {}) == [*order[:-1], (1, 7)]


def test_what_is_known_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "order.journal"
    written(path, [(0, 5), (1, 5)])
    size_bytes = path.stat().st_size
    written(path, [(0, 5), (1, 5)])
    assert path.stat().st_size == size_bytes


def test_a_checkpoint_in_the_middle_of_an_entry_leaves_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "order.journal"
    written(path, [(0, 100), (1, 10)])
    assert read(path, {0: 60}) == [(0, 40), (1, 10)]


def test_it_forgets_what_lies_before_a_checkpoint_once_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "order.journal"
    journal = Journal(path)
    for number in range(80_000):
        journal.note(number % 2, number // 2, 1)
    journal.forget({0: 39_999, 1: 39_990})
    assert path.stat().st_size == 11 * ENTRY_BYTES
    journal.note(0, 40_000, 3)
    journal.close()
    assert read(path, {0: 39_999, 1: 39_990}) == [*[(1, 1)] * 9, (0, 1), (1, 1), (0, 3)]


def test_after_a_rollback_only_what_was_learnt_since_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "order.journal"
    written(path, [(0, 10), (1, 10), (0, 10)])
    journal = Journal(path)
    assert not journal.begins_at(MODEL_ID)
    journal.rewind({0: 10}, MODEL_ID)
    journal.note(1, 0, 4)
    journal.note(0, 10, 2)
    journal.close()
    assert read(path, {0: 10}) == [(1, 4), (0, 2)]
    again = Journal(path)
    assert again.begins_at(MODEL_ID)
    again.close()


def test_offsets_without_a_record_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "order.journal"
    journal = Journal(path)
    journal.order_after({})
    for partition, first, count in [(0, 10_000_000_000, 5), (1, 0, 3), (0, 10_000_000_006, 4), (1, 3, 1)]:
        journal.note(partition, first, count)
    journal.close()
    assert read(path, {}) == [(0, 5), (1, 3), (0, 4), (1, 1)]
    assert read(path, {0: 10_000_000_005, 1: 3}) == [(0, 4), (1, 1)]
    assert read(path, {0: 10_000_000_006, 1: 3}) == [(0, 4), (1, 1)]
    written(path, [(0, 2)], {0: 10_000_000_010, 1: 4})
    assert read(path, {0: 10_000_000_008, 1: 4}) == [(0, 2), (0, 2)]


def test_what_lies_before_a_checkpoint_is_forgotten_with_its_gaps(tmp_path: Path) -> None:
    path = tmp_path / "order.journal"
    journal = Journal(path)
    journal.order_after({})
    entries = 80_000
    for place in range(entries):
        journal.note(1, 2 * place, 1)
    journal.forget({1: 2 * entries - 3})
    assert path.stat().st_size == 2 * ENTRY_BYTES
    journal.note(1, 2 * entries, 7)
    journal.close()
    assert read(path, {1: 2 * entries - 3}) == [(1, 1), (1, 7)]
