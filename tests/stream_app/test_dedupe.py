"""The dedupe window: at least the last `size` ids, and what a restart knows is what was known before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.dedupe import DedupeWindow

ids = st.lists(st.integers(0, 30).map(str), max_size=200)


@given(ids=ids, size=st.integers(0, 20))
def test_an_id_among_the_last_size_new_ones_is_never_new(ids: list[str], size: int) -> None:
    window = DedupeWindow(size)
    taken: list[str] = []
    for event_id in ids:
        is_new = window.is_new(event_id)
        assert is_new or event_id in taken[-2 * size :]
        if event_id in taken[-size:] and size:
            assert not is_new
        if is_new:
            taken.append(event_id)


@given(ids=ids, size=st.integers(0, 20), cut=st.integers(0, 200))
def test_restored_anywhere_it_decides_as_if_it_had_never_stopped(ids: list[str], size: int, cut: int) -> None:
    window, restored = DedupeWindow(size), DedupeWindow(size)
    for event_id in ids[:cut]:
        window.is_new(event_id)
    restored.restore(window.state())
    assert [window.is_new(event_id) for event_id in ids[cut:]] == [restored.is_new(event_id) for event_id in ids[cut:]]
    assert window.state() == restored.state()


@pytest.mark.parametrize(("window", "examples", "duplicates"), [(10_000, 50, 50), (0, 100, 0)])
def test_a_second_pass_over_events_with_ids_is_told_as_duplicates(
    tmp_path: Path, window: int, examples: int, duplicates: int
) -> None:
    events = "".join(f'{{"id":"{n}","label":1,"features":{{"a":{n}}}}}\n' for n in range(50))
    (tmp_path / "events.jsonl").write_text(events)
    (tmp_path / "weir.toml").write_text(f"[events]\ndedupe_window = {window}\n")
    weir = Path(sys.executable).with_name("weir")
    command = [weir, "train", "events.jsonl", "events.jsonl", "--json"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    figures = json.loads(run.stdout)
    assert (figures["examples"], figures["duplicates"]) == (examples, duplicates)
    assert ("duplicates = 50 (events whose id was met before" in run.stderr) == (duplicates == 50)
