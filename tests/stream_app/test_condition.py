"""Conditions: what holds, what is not understood, and what no name is."""

import pytest

from stream_app.condition import Condition
from stream_app.settings import ConfigError

NAMES = {"log_loss": 0.5, "examples": 100, "learner": "vw", "metadata.team": "fraud", "auc": None, "window.brier": 0.2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log_loss < 0.6", True),
        ("log_loss < 0.6 and learner = 'river'", False),
        ("learner = 'river' or learner == \"vw\"", True),
        ("not (log_loss >= .5 and examples > 1e3)", True),
        ("log_loss < window.brier + 0.4 - 0.05", True),
        ("log_loss < -1", False),
        ("not not learner != 'x'", True),
        ("metadata.team = 'fraud' and examples<=100", True),
        ("auc < 1", False),
        ("auc > 1 or auc <= 1", False),
        ("learner < 3", False),
        ("learner = 'a' or learner = 'b' and log_loss < 1", False),
    ],
)
def test_it_holds_or_not(text: str, expected: bool) -> None:
    assert Condition(text).holds(NAMES) is expected


@pytest.mark.parametrize(
    "text", ["", "log_loss <", "< 1", "log_loss < 1 and", "(log_loss < 1", "a b", "log_loss < 1)", "x ; y", "and", "'a"]
)
def test_what_is_not_understood_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="not understood"):
        Condition(text)


def test_an_unknown_name_can_be_found_before_anything_is_asked() -> None:
    condition = Condition("log_loss < 0.6 or nosuch = 'a'")
    condition.check([*NAMES, "nosuch"])
    with pytest.raises(ConfigError, match="'nosuch' is no name here; there are: auc, examples"):
        condition.check(NAMES)


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'logloss' is no name here; there are: auc, examples"):
        Condition("logloss < 1").holds(NAMES)
    with pytest.raises(ConfigError, match="expected a comparison"):
        Condition("log_loss").holds(NAMES)
