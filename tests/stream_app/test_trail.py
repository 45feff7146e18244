"""The trail names the first record that differs, however the records were cut, exactly or as a range."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app import trail
from stream_app.trail import Trail, first_difference


def of(payloads: list[bytes], cuts: list[int] | None = None) -> bytes:
    found = Trail()
    edges = [0, *sorted(cuts or []), len(payloads)]
    for first, last in itertools.pairwise(edges):
        found.add(payloads[first:last])
    return found.state()


@given(st.lists(st.binary(max_size=8), max_size=60), st.data(), st.sampled_from([4, 7, 1000]))
def test_it_is_a_function_of_the_records_alone(payloads: list[bytes], data: st.DataObject, most: int) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(payloads)), max_size=5))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trail, "MOST", most)
        assert of(payloads, cuts) == of(payloads)


@given(st.integers(1, 200), st.data(), st.sampled_from([4, 7, 16, 1000]))
def test_a_changed_record_is_found(count: int, data: st.DataObject, most: int) -> None:
    payloads = [b"record %d" % number for number in range(count)]
    changed = data.draw(st.integers(0, count - 1))
    other = [*payloads[:changed], payloads[changed] + b"!", *payloads[changed + 1 :]]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trail, "MOST", most)
        found = first_difference(of(payloads), of(other))
    if count <= most:
        assert found == range(changed, changed + 1)
    else:
        assert found is None or changed in found


def test_equal_trails_do_not_differ_and_a_missing_record_is_where_one_ends() -> None:
    payloads = [b"%d" % number for number in range(10)]
    assert first_difference(of(payloads), of(payloads)) is None
    assert first_difference(of(payloads), of(payloads[:7])) == range(7, 8)
    with pytest.raises(ValueError, match="trail"):
        first_difference(b"?", of(payloads))
