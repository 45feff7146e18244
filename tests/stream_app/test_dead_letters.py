"""Dead letters: kept byte for byte, each place once, the latest only."""

from pathlib import Path

import pytest

from stream_app.dead_letters import DeadLetters
from stream_app.sources.source import SourceError


def test_a_letter_is_kept_as_it_came_and_survives_reopening(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10)
    letters.add(2, 70_000, "label: 'YES' is no number", b"\xff\x00raw")
    letters.close()
    letters = DeadLetters(tmp_path, 10)
    shown = next(letters.latest()).shown()
    letters.close()
    assert (shown["partition"], shown["offset"], shown["payload"]) == (2, 70_000, None)
    assert shown["payload_base64"] == "/wByYXc="


def test_met_again_it_is_one_letter(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10)
    for _ in range(3):
        letters.add(0, 5, "bad", b"x")
    assert len(letters) == 1
    letters.close()


def test_a_reason_that_quotes_bytes_which_are_no_text_is_kept(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10)
    letters.add(0, 5, b"feature \xff".decode(errors="surrogateescape"), b"x")
    assert next(letters.latest()).reason == "feature \\udcff"
    letters.close()


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 100)
    for offset in range(1_000):
        letters.add(offset % 2, offset, "bad", b"x")
    kept = {letter.offset for letter in letters.latest(1_000)}
    assert len(kept) == len(letters) <= 110
    assert kept >= set(range(900, 1_000))
    letters.close()


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10)
    with pytest.raises(SourceError, match="dead letters at"):
        DeadLetters(tmp_path, 10)
    letters.close()
