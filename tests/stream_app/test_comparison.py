"""A comparison saved at any place and gone on with, by whatever was learnt again, is the comparison never stopped."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.comparison import Comparison
from stream_app.money import Money
from stream_app.progressive.rows import Matrix
from stream_app.shadow_frames import KEPT, ShadowSpec
from stream_app.sources.source import Records

SPEC = ShadowSpec("other", "live", begun="sha256.1")
GENERATOR = np.random.default_rng(5)
LOSSES = GENERATOR.exponential(size=(2, 600))
DECISIONS = GENERATOR.integers(0, 4, size=(2, 600)).astype(np.float64)


class _Said:
    """A lane that makes of the record at an offset what the table says."""

    def __init__(self, number: int) -> None:
        self._number = number

    def learn(self, records: Records) -> Matrix:
        places = slice(records.offset, records.offset + len(records.payloads))
        return np.stack([LOSSES[self._number, places], DECISIONS[self._number, places]])


LANES = (_Said(0), _Said(1))


def records(first: int, last: int) -> Records:
    return Records(0, first, [b""] * (last - first), 0.0)


def new(spec: ShadowSpec = SPEC) -> Comparison:
    return Comparison(spec, "log_loss", None)


@given(saved_at=st.lists(st.integers(0, 600), min_size=1, max_size=5), data=st.data())
def test_saved_and_gone_on_with_anywhere_it_counts_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, saved_at: list[int], data: st.DataObject
) -> None:
    path, comparison, at = tmp_path_factory.mktemp("compared") / "compared", new(), 0
    for end in [*sorted(saved_at), 600]:
        while at < end:
            size = data.draw(st.integers(1, 200))
            comparison.learn(LANES, records(at, min(end, at + size)))
            at = min(end, at + size)
        comparison.save(path)
        comparison = new()
        assert comparison.restore(path)
        at = data.draw(st.integers(max(0, at - 300), at))  # learnt again, as from an older checkpoint
    whole = new()
    whole.learn(LANES, records(0, 600))
    found, expected = comparison.figures(), whole.figures()
    assert (comparison.records, comparison.position, found.examples) == (600, {0: 600}, 600)
    for name in ("loss", "primary_loss", "behind", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12)
    last = comparison.over(100)
    assert last.loss == pytest.approx(LOSSES[0, -100:].mean())
    assert last.examples == 100


def test_money_goes_on_too(tmp_path: Path) -> None:
    money = Money("EUR", 0, ())
    comparison = Comparison(SPEC, "log_loss", money)
    comparison.learn(LANES, records(0, 600))
    comparison.save(tmp_path / "compared")
    other = Comparison(SPEC, "log_loss", money)
    assert other.restore(tmp_path / "compared")
    assert other.figures() == comparison.figures()
    assert other.figures().value is not None


def test_of_another_model_or_another_past_or_damaged_it_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "compared"
    assert not new().restore(path)
    comparison = new()
    comparison.learn(LANES, records(0, 10))
    comparison.save(path)
    assert not new(ShadowSpec("other", "live", begun="sha256.2")).restore(path)
    assert not new(ShadowSpec("other", "live", args="-l 1", begun="sha256.1")).restore(path)
    assert not caplog.records
    path.write_bytes(path.read_bytes()[:-3])
    damaged = new()
    assert not damaged.restore(path)
    assert (damaged.records, damaged.position) == (0, {})
    assert "comparing begins anew" in caplog.text


def test_what_is_looked_back_at_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT == 100_000
    monkeypatch.setattr("stream_app.comparison.KEPT", 70)
    comparison = new()
    for first in range(0, 600, 40):
        comparison.learn(LANES, records(first, first + 40))
    over = comparison.over(500)
    assert (over.examples, comparison.figures().examples) == (70, 600)
    assert over.loss == pytest.approx(LOSSES[0, -70:].mean())
