"""Records are taken in order, each once, however they are delivered, over gaps that are really there."""

from hypothesis import given
from hypothesis import strategies as st

from stream_app.in_order import InOrder


def taken(order: InOrder[str], *offsets: int) -> list[int]:
    found = []
    for offset in offsets:
        if order.is_next("p", offset):
            order.finish("p", offset)
            found.append(offset)
    return found


def begun(offset: int = 0) -> InOrder[str]:
    order = InOrder[str]()
    order.begin("p", offset)
    return order


def test_what_is_left_out_is_asked_for_again_and_nothing_after_it_taken_before() -> None:
    order = begun()
    assert taken(order, 0, 1, 3, 4) == [0, 1]
    assert order.stuck({"p": 5}) == {}
    assert order.stuck({"p": 5}) == {"p": 2}
    assert taken(order, 2, 3, 4, 4, 0) == [2, 3, 4]
    assert order.done == {"p": 5}


def test_a_gap_that_is_there_also_when_asked_again_is_passed_over() -> None:
    order = begun()
    assert taken(order, 0, 5, 6) == [0]
    order.stuck({"p": 7})
    assert order.stuck({"p": 7}) == {"p": 1}
    assert taken(order, 6, 5, 6) == [5, 6]


def test_a_partition_that_goes_on_or_has_no_more_is_not_stuck() -> None:
    order = begun()
    order.stuck({"p": 9})
    taken(order, 0, 1)
    assert order.stuck({"p": 9}) == {}
    taken(order, *range(2, 9))
    assert [order.stuck({"p": 9}) for _ in range(3)] == [{}, {}, {}]


def test_what_was_taken_and_is_not_done_comes_again() -> None:
    order = begun(10)
    assert order.is_next("p", 10)
    assert order.done == {"p": 10}
    order.give_back()
    assert taken(order, 10, 11) == [10, 11]


def test_what_is_no_longer_there_is_passed_over_and_counted_once() -> None:
    order = begun(10)
    assert taken(order, 10, 15) == [10]
    assert [order.pass_over("p", 14) for _ in range(2)] == [3, 0]
    assert order.pass_over("other", 14) == 0
    assert order.done == {"p": 14}
    assert taken(order, 13, 14, 15) == [14, 15]
    assert order.pass_over("p", 14) == 0


def test_nothing_is_taken_of_a_partition_that_was_not_begun() -> None:
    order = begun()
    order.clear()
    assert taken(order, 0) == []
    assert order.done == {}


@given(
    present=st.sets(st.integers(0, 30), min_size=1),
    deliveries=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8),
)
def test_all_that_is_there_is_taken_once_and_in_order(present: set[int], deliveries: list[tuple[int, int]]) -> None:
    order, found = begun(), []
    for first, last in deliveries:
        found += taken(order, *[offset for offset in sorted(present) if first <= offset <= last])
    for _ in range(100):
        for start in order.stuck({"p": 31}).values():
            found += taken(order, *[offset for offset in sorted(present) if offset >= start])
    assert found == sorted(present)
