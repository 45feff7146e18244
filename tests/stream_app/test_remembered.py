"""Remembered predictions: found by id, bounded by number and age, replaced by a later one."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stream_app.remembered import RememberedEvents


def test_what_was_put_is_found_also_after_reopening(tmp_path: Path) -> None:
    remembered = RememberedEvents(tmp_path, 10, 1e9)
    remembered.put("ä", b"payload")
    remembered.close()
    remembered = RememberedEvents(tmp_path, 10, 1e9)
    found = remembered.get("ä")
    assert found is not None
    assert found.payload == b"payload"
    assert remembered.get("b") is None
    remembered.close()


def test_a_label_is_remembered_and_a_new_prediction_forgets_it(tmp_path: Path) -> None:
    remembered = RememberedEvents(tmp_path, 10, 1e9)
    remembered.put("a", b"1")
    event = remembered.get("a")
    assert event is not None
    remembered.labelled("a", event)
    assert (again := remembered.get("a")) is not None
    assert again.is_labelled
    remembered.put("a", b"2")
    assert (anew := remembered.get("a")) is not None
    assert (anew.payload, anew.is_labelled) == (b"2", False)
    remembered.close()


@given(ids=st.lists(st.integers(0, 9).map(str), max_size=40), reopened_at=st.integers(0, 40))
def test_the_latest_are_kept_and_the_number_stays_bounded(tmp_path_factory, ids: list[str], reopened_at: int) -> None:
    path = tmp_path_factory.mktemp("remembered")
    remembered = RememberedEvents(path, 5, 1e9)
    for number, event_id in enumerate(ids):
        if number == reopened_at:
            remembered.close()
            remembered = RememberedEvents(path, 5, 1e9)
        remembered.put(event_id, str(number).encode())
        assert len(remembered) <= 6
    latest = dict(reversed([(event_id, str(n).encode()) for n, event_id in enumerate(ids)][-5:]))
    newest = {event_id: str(n).encode() for n, event_id in enumerate(ids)}
    for event_id in latest:
        assert (found := remembered.get(event_id)) is not None
        assert found.payload == newest[event_id]
    remembered.close()


def test_what_is_too_old_is_not_given(tmp_path: Path) -> None:
    remembered = RememberedEvents(tmp_path, 10, -1.0)
    remembered.put("a", b"1")
    assert remembered.get("a") is None
    remembered.close()
