"""Races: learners over the same records, side by side, and a leaderboard by progressive loss."""

import itertools
import math
import re
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from stream_app import wiring
from stream_app.config import replaced
from stream_app.lane import Lane, new_lane, paired
from stream_app.progressive.confidence import LOSS_NAMES, Interval, Losses
from stream_app.progressive.rows import number
from stream_app.settings import ConfigError, Settings
from stream_app.sources.source import Records

MOST_LANES = 64


class Entry(msgspec.Struct, frozen=True):
    """A learner in a race."""

    kind: str
    args: str

    @property
    def name(self) -> str:
        """As the leaderboard shows it."""
        return f"{self.kind}: {self.args}".strip()


class Standing(msgspec.Struct, frozen=True):
    """A row of the leaderboard; the losses of a task are those of `LOSS_NAMES`, not the learner's own."""

    rank: int
    learner: str
    loss: float | None
    low: float | None
    high: float | None
    """Where the mean loss lies, at every look."""
    behind: float | None
    """Its loss less the leader's, on the same examples; 0 for the leader."""
    behind_low: float | None
    behind_high: float | None
    is_surely_worse: bool
    refused: int = 0
    """Records that this learner could not take."""
    why: str | None = None
    """The first of them, by partition and offset, and why."""
    model: str | None = None
    """The package that was kept, where it was asked for."""


class Leaderboard(msgspec.Struct, frozen=True):
    """Where all stand after some examples."""

    metric: str
    examples: int
    """Labelled examples that all of them predicted."""
    standings: list[Standing]


class _Letters:
    """How many records a lane could not take, and the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: str | None = None

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        """One more."""
        self.count += 1
        self.first = self.first or f"{partition}:{offset}: {reason}"


class Race:
    """Every lane learns every record, one example after the other, and predicts each before."""

    def __init__(self, settings: Settings, entries: Sequence[Entry]) -> None:
        """Raises ConfigError for more than MOST_LANES, LearnerError for arguments that no learner can be built from."""
        if not 1 <= len(entries) <= MOST_LANES:
            raise ConfigError(f"--learner: {len(entries)} learners; expected 1 to {MOST_LANES}")
        self.task = settings.model.task
        self.lanes: list[Lane] = []
        self._letters = [_Letters() for _ in entries]
        for entry, letters in zip(entries, self._letters, strict=True):
            own = replaced(settings, "learner", kind=entry.kind, args=entry.args)
            self.lanes.append(new_lane(entry.name, wiring.with_names(own, is_kept=True), letters))
        self._losses = Losses(len(self.lanes))

    async def run(self, source: AsyncIterator[Records], told: Callable[[int], None]) -> None:
        """Learn all that comes."""
        async for records in source:
            found = paired(self.lanes, records)
            if found is not None:
                self._losses.add(found.losses)
            told(len(records.payloads))

    def board(self, models: Sequence[str | None] = ()) -> Leaderboard:
        """Where they stand now, the least loss first."""
        means = [self._losses.mean(index) for index in range(len(self.lanes))]
        ranked = sorted(range(len(means)), key=lambda index: (math.isnan(means[index].mean), means[index].mean, index))
        standings = []
        for rank, index in enumerate(ranked, 1):
            behind = self._losses.difference(index, ranked[0]) if index != ranked[0] else Interval(0.0, 0.0, 0.0)
            loss, low, high = (number(value) for value in means[index])
            by, by_low, by_high = (number(value) for value in behind)
            name, model = self.lanes[index].name, models[index] if models else None
            refused, why = self._letters[index].count, self._letters[index].first
            is_worse = behind.low > 0
            standings.append(Standing(rank, name, loss, low, high, by, by_low, by_high, is_worse, refused, why, model))
        return Leaderboard(LOSS_NAMES[self.task], self._losses.examples, standings)


def entries_of(templates: Sequence[str], each: Sequence[str]) -> list[Entry]:
    """The grid: every template `KIND: ARGS` once for each combination of the values whose {names} stand in it.

    >>> [entry.args for entry in entries_of(["vw: -l {l} -b {b}"], ["l=0.1,0.5", "b=18"])]
    ['-l 0.1 -b 18', '-l 0.5 -b 18']
    """
    values: dict[str, list[str]] = {}
    for text in each:
        name, equals, listed = text.partition("=")
        if not equals or not name.isidentifier() or not listed:
            raise ConfigError(f"--each: {text!r} is not NAME=VALUE,VALUE, as in l=0.1,0.5")
        values[name] = listed.split(",")
    found: list[Entry] = []
    used: set[str] = set()
    for template in templates:
        kind, colon, args = template.partition(":")
        if not colon or kind.strip() not in wiring.LEARNERS:
            kinds = " or ".join(sorted(wiring.LEARNERS))
            raise ConfigError(f"--learner: {template!r}: expected KIND: ARGS, where KIND is {kinds}")
        names = [name for name in values if f"{{{name}}}" in args]
        used |= set(names)
        for combination in itertools.product(*(values[name] for name in names)):
            filled = args.strip()
            for name, value in zip(names, combination, strict=True):
                filled = filled.replace(f"{{{name}}}", value)
            found.append(Entry(kind.strip(), filled))
        left = re.findall(r"\{([a-z_]\w*)\}", found[-1].args)
        if left and kind.strip() == "vw":
            raise ConfigError(f"--learner: {{{left[0]}}} has no --each {left[0]}=VALUE,...")
    unused = values.keys() - used
    if unused:
        raise ConfigError(f"--each: no learner has {{{min(unused)}}} in it")
    return list(dict.fromkeys(found))
