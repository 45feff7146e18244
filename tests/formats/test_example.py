"""Lines: columns that look like a list of examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.example import Example, Lines, ids_of, labels_of, text_of, times_of, weights_of

examples = st.lists(
    st.builds(
        Example,
        label=st.one_of(st.none(), st.floats(-9, 9)),
        weight=st.floats(0, 9),
        text=st.binary(min_size=1, max_size=9).map(lambda text: text.replace(b"\n", b" ")),
        id=st.one_of(st.none(), st.text(max_size=3)),
        time_s=st.one_of(st.none(), st.floats(0, 9)),
    ),
    min_size=1,
)


def as_lines(rows: list[Example]) -> Lines:
    return Lines(text_of(rows), labels_of(rows), weights_of(rows), ids_of(rows), times_of(rows))


@given(rows=examples, first=st.integers(-3, 9), last=st.integers(-3, 9), step=st.integers(1, 3))
def test_lines_are_the_list_of_their_examples(rows: list[Example], first: int, last: int, step: int) -> None:
    lines = as_lines(rows)
    assert len(lines) == len(rows)
    assert list(lines) == rows
    assert [lines[index] for index in range(len(rows))] == rows
    assert list(lines[first:last:step]) == rows[first:last:step]


@given(rows=examples)
def test_columns_of_lines_are_those_of_their_examples(rows: list[Example]) -> None:
    lines = as_lines(rows)
    for column in (text_of, labels_of, weights_of, ids_of, times_of):
        assert column(lines) == column(rows)


def test_the_whole_of_lines_stays_columns() -> None:
    lines = Lines(b"1 |f a\n2 |f b", [1.0, 2.0], [1.0, 1.0])
    assert lines[0:128] is lines
    assert (ids_of(lines), times_of(lines)) == ((), ())
    with pytest.raises(IndexError):
        lines[2]
