"""What one row of the benchmarks is, and how two things are measured against each other. Knows no row by name."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from tools.bench.broker import RunBroker
from tools.bench.stream import Stream, fill

Bound = Literal["at least", "at most", "under"]
Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


class BenchError(Exception):
    """A measurement that could not be made, or that measured the wrong thing. The message says which."""


class Figure(msgspec.Struct, frozen=True):
    """One quantity, measured several times."""

    unit: str
    best: float
    median: float
    all: list[float]
    shown: float
    """The one that counts: the best, for latencies the median."""

    @classmethod
    def rates(cls, unit: str, values: Sequence[float]) -> "Figure":
        """More is better."""
        return cls(unit, max(values), statistics.median(values), list(values), max(values))

    @classmethod
    def times(cls, unit: str, values: Sequence[float]) -> "Figure":
        """Less is better."""
        return cls(unit, min(values), statistics.median(values), list(values), min(values))

    @classmethod
    def latencies(cls, unit: str, values: Sequence[float]) -> "Figure":
        """Less is better, but the best of several would flatter."""
        return cls(unit, min(values), statistics.median(values), list(values), statistics.median(values))


Note = float | int | str | list[float]


class Measured(msgspec.Struct, frozen=True):
    """What a row gave. `result` is what is held against the target: a ratio, or the figure itself."""

    ours: Figure
    reference: Figure
    result: float
    notes: dict[str, Note] = {}


class Run(msgspec.Struct, frozen=True):
    """What all rows of one run share: a folder that is deleted afterwards, stream, broker, how long to measure."""

    folder: Path
    stream: Stream
    broker: RunBroker
    is_quick: bool
    say: Callable[[str], None]

    @property
    def repeats(self) -> int:
        """How often each side is measured."""
        return 2 if self.is_quick else 3

    @property
    def passes(self) -> int:
        """How often the stream is repeated in the rows that learn."""
        return 1 if self.is_quick else 4

    def log(self, format_: Literal["json", "vw"], passes: int) -> Path:
        """An embedded log that holds the stream `passes` times; made when it is first asked for."""
        path = self.folder / f"log-{format_}-{passes}"
        if not path.exists():
            self.say(f"filling a log with {passes * self.stream.events:,} events")
            fill(path, self.stream, format_, passes)
        return path


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    name: str
    work: str
    against: str
    bound: Bound | None
    target: float | None
    """Neither for a row that only informs."""
    unit: str
    """Of result and target: `x` for a ratio, `ms`, `%`."""
    measure: Callable[[Run], Measured]

    def is_met(self, result: float) -> bool | None:
        """Whether a result reaches the target; None without one."""
        if self.target is None:
            return None
        if self.bound == "at least":
            return result >= self.target
        return result < self.target if self.bound == "under" else result <= self.target

    def missed_by(self, result: float) -> float:
        """How far a result is from the target, as a share of the target; 0.0 where it is met, or there is none."""
        return 0.0 if self.target is None or self.is_met(result) else abs(result - self.target) / self.target


def alternate(
    run: Run, repeats: int, ours: Callable[[], Ours], reference: Callable[[], Theirs]
) -> tuple[list[Ours], list[Theirs]]:
    """Measure both by turns, so that what else the machine does meets both alike."""
    mine: list[Ours] = []
    theirs: list[Theirs] = []
    for number in range(1, repeats + 1):
        run.say(f"ours, {number} of {repeats}")
        mine.append(ours())
        run.say(f"reference, {number} of {repeats}")
        theirs.append(reference())
    return mine, theirs


def compared(unit: str, ours: Sequence[float], reference: Sequence[float], **notes: Note) -> Measured:
    """Rates side by side: the best of each gives the ratio, that of the medians goes to the notes."""
    mine, theirs = Figure.rates(unit, ours), Figure.rates(unit, reference)
    return Measured(mine, theirs, mine.best / theirs.best, {"ratio_of_medians": mine.median / theirs.median, **notes})
