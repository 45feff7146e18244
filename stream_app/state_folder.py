"""The state folder: what belongs to one service on one machine. Dead letters, predictions, order journal,
figures over time, alerts that fire."""

import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from stream_app.dead_letters import DeadLetters
from stream_app.journal import Journal
from stream_app.prediction_log import Kept, PredictionLog
from stream_app.settings import PredictionSettings, Settings
from stream_app.sources.owner import hold
from stream_app.sources.source import SourceHeld

JOURNAL = "order.journal"
PREDICTIONS = "predictions"
FIGURES = "figures.jsonl"
ALERTS = "alerts.json"


class StateFolder:
    """Held by one service at a time. Raises SourceHeld, naming the other one, or SourceError.

    Services that only follow take a folder of their own within it, the first one that no other follower holds: so any
    number of them may run with the same settings, beside the one that learns.
    """

    def __init__(self, settings: Settings, is_follower: bool = False) -> None:
        with ExitStack() as opened:
            folder = Path(settings.state.dir)
            self.path, owner = _held_for_a_follower(folder) if is_follower else _held(folder)
            opened.callback(os.close, owner)
            self.dead_letters = DeadLetters(self.path / "dead_letters", settings.state.dead_letters)
            opened.callback(self.dead_letters.close)
            self.journal = Journal(self.path / JOURNAL)
            opened.callback(self.journal.close)
            self.predictions = PredictionLog(self.path / PREDICTIONS, kept(settings.predictions))
            opened.callback(self.predictions.close)
            self._opened = opened.pop_all()

    @property
    def problems(self) -> list[str]:
        """What cannot be written at present."""
        return [problem for kept in (self.predictions, self.dead_letters) if (problem := kept.problem) is not None]

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self._opened.close()


def kept(wanted: PredictionSettings) -> Kept:
    """How much of the predictions is kept."""
    return Kept(wanted.keep, wanted.keep_s, wanted.keep_bytes)


def _held(path: Path) -> tuple[Path, int]:
    path.mkdir(parents=True, exist_ok=True)
    return path, hold(path / "OWNER")


def _held_for_a_follower(folder: Path) -> tuple[Path, int]:
    for number in count(1):
        try:
            return _held(folder / f"follower-{number}")
        except SourceHeld:
            continue
    raise AssertionError("numbers do not end")
