"""The log of predictions: found by id, labelled, bounded by number, size and age, sent on from where it was."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.local_db import LocalDb
from stream_app.prediction_log import Kept, PredictionLog


def test_what_was_put_is_found_also_after_reopening(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    log.put("ä", b"payload")
    log.close()
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    found = log.get("ä")
    assert found is not None
    assert found.payload == b"payload"
    assert log.get("b") is None
    log.close()


def test_a_label_is_kept_and_a_new_prediction_has_none(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    log.put("a", b"1")
    event = log.get("a")
    assert event is not None
    log.labelled(event, 1)
    assert (again := log.get("a")) is not None
    assert (again.is_labelled, again.label) == (True, 1)
    log.put("a", b"2")
    assert (anew := log.get("a")) is not None
    assert (anew.payload, anew.is_labelled) == (b"2", False)
    log.close()


@given(ids=st.lists(st.integers(0, 9).map(str), max_size=40), reopened_at=st.integers(0, 40))
def test_the_latest_are_kept_and_the_number_stays_bounded(tmp_path_factory, ids: list[str], reopened_at: int) -> None:
    path = tmp_path_factory.mktemp("predictions")
    log = PredictionLog(path, Kept(5, 1e9))
    for number, event_id in enumerate(ids):
        if number == reopened_at:
            log.close()
            log = PredictionLog(path, Kept(5, 1e9))
        log.put(event_id, str(number).encode())
        assert len(log) <= 6
    latest = dict(reversed([(event_id, str(n).encode()) for n, event_id in enumerate(ids)][-5:]))
    newest = {event_id: str(n).encode() for n, event_id in enumerate(ids)}
    for event_id in latest:
        assert (found := log.get(event_id)) is not None
        assert found.payload == newest[event_id]
    log.close()


def test_what_is_too_old_is_not_given(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(10, -1.0))
    log.put("a", b"1")
    assert log.get("a") is None
    log.close()


def test_the_oldest_go_first_when_they_are_too_large_together(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(1_000, 1e9, 10_000))
    for number in range(50):
        log.put(str(number), bytes(900))
        assert log.counts.size_bytes <= 11_000
    assert [found.id for found in log.latest(100)] == [str(number) for number in range(49, 49 - len(log), -1)]
    assert 9 <= len(log) <= 11
    log.close()


def test_what_waits_is_found_and_labelled_and_is_there_after_a_flush_and_a_kill(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(1_000, 1e9))
    ids = []
    for number in range(300):
        ids.append(log.new_id())
        log.put(ids[-1], str(number).encode(), is_unnamed=True)
        assert (found := log.get(ids[-1])) is not None
        assert found.payload == str(number).encode()
    assert len(set(ids)) == 300
    log.labelled(log.get(ids[-1]) or pytest.fail("forgotten"), 1)
    log.flush()
    copy = tmp_path.with_name(f"{tmp_path.name}-killed")
    shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("LOCK"))
    log.close()
    log = PredictionLog(copy, Kept(1_000, 1e9))
    assert [found.id for found in log.latest(1_000)] == ids[::-1]
    assert log.counts.waiting == 0, "nobody has a label for what had no id"
    assert log.new_id() not in ids
    log.close()


@given(steps=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["put", "unnamed", "label"])), max_size=60))
def test_what_waits_for_its_label_is_counted_as_a_recount_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    log = PredictionLog(tmp_path_factory.mktemp("predictions"), Kept(5, 1e9))
    for number, step in steps:
        if step == "label":
            found = log.get(str(number))
            if found is not None and not found.is_labelled:
                log.labelled(found, 0)
        else:
            is_unnamed = step == "unnamed"
            log.put(log.new_id() if is_unnamed else str(number), b"event", is_unnamed=is_unnamed)
    current = {str(number): log.get(str(number)) for number in range(7)}
    assert log.counts.waiting == sum(found is not None and found.waits for found in current.values())
    log.close()


def test_what_was_sent_and_what_was_forgotten_unsent_is_known_after_reopening(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    reader = log.reader("one", lambda logged: logged.payload != b"unwanted")
    for number in range(6):
        log.put(str(number), b"unwanted" if number == 1 else b"wanted")
    after, found = reader.to_send(3, 1 << 20)
    assert (after, [logged.id for logged in found]) == (3, ["0", "2"])
    reader.sent(3)
    log.close()
    log = PredictionLog(tmp_path, Kept(3, 1e9))
    reader, other = log.reader("one", lambda logged: True), log.reader("other", lambda logged: True)
    assert (reader.unsent, other.unsent) == (3, 6)
    for number in range(6, 12):
        log.put(str(number), b"wanted")
    assert (reader.unsent, reader.lost) == (3, 12 - 3 - 3)
    assert [logged.id for logged in reader.to_send(100, 1 << 20)[1]] == ["9", "10", "11"]
    log.close()


def test_large_predictions_are_sent_a_few_at_a_time(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    reader = log.reader("one", lambda logged: True)
    for number in range(5):
        log.put(str(number), b"x" * 1000)
    batches = []
    while (batch := reader.to_send(100, 1500))[0] is not None:
        batches.append([logged.id for logged in batch[1]])
        reader.sent(batch[0])
    assert batches == [["0", "1"], ["2", "3"], ["4"]]
    log.close()


def test_labels_count_to_the_size_so_that_it_stays_what_is_on_disk(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(5, 1e9))
    for number in range(20):
        log.put(str(number), b"event")
        log.labelled(log.get(str(number)) or pytest.fail("forgotten"), "a long label")
    size_bytes = log.counts.size_bytes
    log.close()
    db = LocalDb(tmp_path, "predictions")
    assert size_bytes == sum(len(db.get(key) or b"") for key in db.keys() if key[:1] == b"n")  # noqa: SIM118 it is no dict
    db.close()


def test_a_prediction_made_again_while_its_label_is_appended_waits_on(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    log.put("a", b"1")
    first = log.get("a") or pytest.fail("forgotten")
    log.put("a", b"2")
    log.labelled(first, 1)
    assert log.counts.waiting == 1
    log.labelled(log.get("a") or pytest.fail("forgotten"), 1)
    assert log.counts.waiting == 0
    log.close()


def test_what_is_forgotten_before_its_label_is_appended_stays_forgotten(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Kept(1, 1e9))
    log.put("a", b"1")
    first = log.get("a") or pytest.fail("forgotten")
    log.put("b", b"2")
    log.labelled(first, 1)
    assert log.at(first.number) is None
    assert (log.counts.waiting, log.counts.expired) == (1, 1)
    log.close()


def test_what_became_of_labels_is_counted_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(tmp_path, Kept(10, 1e9))
    log.put("a", b"1")
    with monkeypatch.context() as full:
        full.setattr(LocalDb, "write", lambda self, changes: False)
        for what in ("late", "orphan", "orphan"):
            log.count(what)
        log.put("b", b"2")
    assert (log.counts.late, log.counts.orphan, log.counts.predicted) == (1, 2, 1)
    log.count("duplicate")
    log.close()
    counts = PredictionLog(tmp_path, Kept(10, 1e9)).counts
    assert (counts.late, counts.orphan, counts.duplicate, counts.predicted) == (1, 2, 1, 1)


def test_on_a_full_disk_nothing_is_forgotten_and_nothing_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(tmp_path, Kept(3, 1e9))
    reader = log.reader("one", lambda logged: True)
    for number in range(3):
        log.put(str(number), b"event")
    with monkeypatch.context() as full:
        full.setattr(LocalDb, "write", lambda self, changes: False)
        for number in range(3, 9):
            log.put(str(number), b"event")
        assert (len(log), log.counts.expired, reader.lost) == (3, 0, 0)
        assert [found.id for found in log.latest(10)] == ["2", "1", "0"]
    log.put("9", b"event")
    assert (len(log), log.counts.expired, reader.lost) == (3, 1, 1)
    log.close()
