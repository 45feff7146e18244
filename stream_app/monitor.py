"""What the service measures of itself while it works: how long each stage takes, and how fresh the model is.

Costs a few microseconds per micro-batch and request, nothing per event. Changes nothing that is learnt.
"""

import time
from collections import Counter
from typing import Final, Literal

from formats.example import Decoded, labels_of, times_of
from stream_app.histogram import Histogram
from stream_app.recent import Quantiles, Recent
from stream_app.snapshot import Counts
from stream_app.sources.source import Records

Stage = Literal["decode", "join", "learn", "checkpoint", "predict"]
STAGES: Final[tuple[Stage, ...]] = ("decode", "join", "learn", "checkpoint", "predict")

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_AGES = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0)


class Monitor:
    """Written on the event-loop thread, by whoever does the work. Begins anew with each process.

    `servable` is the age of a micro-batch's records, since they were appended, at the moment when the model that has
    learnt them answers; `event_age` the same since the time that the events themselves give (`ts`), where they do.
    """

    def __init__(self) -> None:
        self.stages = Histogram(
            "weir_stage_seconds",
            "Time of one step of a stage: a micro-batch, a request, a checkpoint, in seconds.",
            _SECONDS,
            "stage",
            STAGES,
        )
        self.servable_ages = Histogram(
            "weir_servable_age_seconds",
            "From the append of a micro-batch to the model that has learnt it, in seconds.",
            _AGES,
        )
        self.recent: dict[Stage, Recent] = {stage: Recent() for stage in STAGES}
        self.servable = Recent()
        self.servable_s = 0.0
        """Sum of those ages since the start."""
        self.event_age = Recent()
        self.events = 0
        """Events learnt since the start, those within envelopes counted one by one."""
        self.latest: bytes | None = None
        """The record that was learnt last, whole."""
        self.learnt_at: float | None = None
        """When a micro-batch was learnt last, Unix seconds."""
        self.counts = Counts()
        """What happened to the records since the start: no rollback takes it back."""
        self.labelled = 0
        """Labelled events learnt since the start."""
        self.requests = 0
        """POST requests since the start, and of those the ones that failed: overload, errors, events refused."""
        self.request_errors = 0
        self.errors: Counter[str] = Counter()
        """What failed since the start, by stage; `http`, `hook` and `webhook` are stages too."""
        self.last: dict[Stage, float] = {}
        """When a stage ended last, by time.perf_counter."""
        self.labelled_at: float | None = None
        """When a labelled event was learnt last, Unix seconds."""
        self._steps = {stage: (self.stages.of(stage), self.recent[stage]) for stage in STAGES}
        self._servable_ages = self.servable_ages.of()

    def quantiles(self) -> dict[str, Quantiles]:
        """How long each stage took of late, and how old what was learnt was, in seconds."""
        by_stage = {str(stage): recent.quantiles() for stage, recent in self.recent.items()}
        return by_stage | {"servable": self.servable.quantiles(), "event_age": self.event_age.quantiles()}

    def timed(self, stage: Stage) -> "Timed":
        """Count what happens within as one step of a stage; or as an error of it, if it fails."""
        return Timed(self, stage)

    def took(self, stage: Stage, seconds: float, ended_at: float | None = None) -> None:
        """One step of a stage took so long; it ended just now, or then, by time.perf_counter."""
        counted, recent = self._steps[stage]
        counted.observe(seconds)
        recent.add(seconds)
        self.last[stage] = time.perf_counter() if ended_at is None else ended_at

    def learnt(self, records: Records, decoded: Decoded, is_again: bool = False) -> None:
        """A micro-batch is learnt, and answers are given by what was learnt of it.

        `is_again`: not for the first time, and so it is not news how old its records are.
        """
        labels = labels_of(decoded.examples)
        self.learnt_at = time.time()
        dead = {one.index for one in decoded.dead}
        last = next((index for index in reversed(range(len(records.payloads))) if index not in dead), None)
        self.latest = records.payloads[last] if last is not None else self.latest
        self.events += len(decoded.examples)
        if labelled := len(labels) - labels.count(None):
            self.labelled += labelled
            self.labelled_at = self.learnt_at
        if not is_again:
            self._aged(records, decoded, self.learnt_at)

    def _aged(self, records: Records, decoded: Decoded, now: float) -> None:
        """How old a micro-batch is now that answers know of it."""
        age_s = max(0.0, now - records.time_s)
        self._servable_ages.observe(age_s)
        self.servable.add(age_s)
        self.servable_s += age_s
        times = times_of(decoded.examples)
        happened_at = next((at for at in reversed(times) if at is not None), None)
        if happened_at is not None:
            self.event_age.add(now - happened_at)

    def passed(self, before: Counts, after: Counts, decoded: Decoded) -> None:
        """What has become of the records of a micro-batch, by the trainer's counts before it and after it."""
        dead = after.dead_letters - before.dead_letters
        self.counts.records += after.records - before.records
        self.counts.dead_letters += dead
        self.counts.duplicates += after.duplicates - before.duplicates
        self.counts.excepted += after.excepted - before.excepted
        if dead:
            undecoded = min(dead, len(decoded.dead))
            self.errors["decode"] += undecoded
            self.errors["learn"] += dead - undecoded


class Timed:
    """One step of a stage, while it lasts. A generator with contextlib would cost a microsecond more."""

    __slots__ = ("_began", "_monitor", "_stage")

    def __init__(self, monitor: Monitor, stage: Stage) -> None:
        self._monitor = monitor
        self._stage = stage

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        if kind is None:
            ended_at = time.perf_counter()
            self._monitor.took(self._stage, ended_at - self._began, ended_at)
        elif issubclass(kind, Exception):
            self._monitor.errors[self._stage] += 1
