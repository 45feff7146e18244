"""Bounded training: learn files to their end, print the progressive table, keep the model. No service, no clock."""

import time
from collections.abc import Sequence
from typing import TextIO

import msgspec

from checkpoints import open_store
from checkpoints.checkpoint import CheckpointStore, Note
from learners.learner import Learner
from learners.vw import VW
from learners.vw_command import VWCommand
from learners.vw_lines import of_first_lines
from stream_app import wiring
from stream_app.config import ConfigError, Settings
from stream_app.sources.file import FileSource
from stream_app.summary import OwnTable, Table, Trained, VWTable
from stream_app.trainer import Trainer

TOLD = 10
"""Dead letters that are told one by one; of more, only the number."""

BATCH = 512
"""Records read at once; the trainer cuts them into micro-batches."""


class TrainJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to learn and where the results go."""

    settings: Settings
    files: Sequence[str]
    out: str | None = None
    predictions: str | None = None
    progress: str | None = None
    is_task_given: bool = True


class BuriedLetters:
    """Dead letters of a bounded run: counted, and handed on one by one."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._told = 0

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        self._told += 1
        if self._told > TOLD:
            return
        self._err.write(f"dead letter {partition}:{offset}: {reason}\n")


async def train(job: TrainJob, err: TextIO) -> Trained:
    """Learn the files of the job, once, in order. The table and what went wrong go to `err` as they come."""
    store = open_store(job.out) if job.out is not None else None
    if store is not None and (head := store.head()) is not None:
        raise ConfigError(f"--out {job.out}: holds a model already ({head[:19]}…); name an empty folder")
    command = _command(job)
    table = VWTable(err, job.files, command.is_quiet) if command is not None else OwnTable(err)
    learner, settings = _learner(job, table, command)
    format_ = wiring.build_format(settings, learner.traits)
    # VW counts for itself: without a model to keep, metrics of our own would be worked out for nobody.
    is_kept = store is not None or settings.learner.kind != "vw"
    settings = wiring.with_names(settings, store is not None)
    trainer = wiring.build_trainer(settings, learner, format_, BuriedLetters(err), is_kept)
    lines = command.first_lines if command is not None else None
    source = FileSource(job.files, of_first_lines(format_.split, lines))
    table.begin(trainer, job.predictions)
    started = time.perf_counter()
    async for records in source.read({}, size=BATCH):
        for _ in trainer.learn(records):
            pass
        table.update()
    checkpoint = _save(trainer, store) if store is not None else None
    seconds = time.perf_counter() - started
    return table.finish(trainer, learner, seconds, checkpoint)


def _command(job: TrainJob) -> VWCommand | None:
    """What VW is asked for; None for other learners. Raises LearnerError for what a bounded run cannot do."""
    settings = job.settings
    if settings.learner.kind != "vw":
        return None
    command = VWCommand(settings.learner_args if job.is_task_given else settings.learner.args or "")
    command.report("--progress", job.progress)
    command.report("--predictions", job.predictions)
    if command.first_lines is not None and settings.events.format != "vw":
        raise ConfigError(f"--examples counts lines of VW text, but events.format is {settings.events.format!r}")
    command.check_files()
    return command


def _learner(job: TrainJob, table: Table, command: VWCommand | None) -> tuple[Learner, Settings]:
    settings = job.settings
    if command is None:
        return wiring.build_learner(settings), settings
    vw = VW(command.learner, table.write, command.reports)
    if not job.is_task_given:
        model = msgspec.structs.replace(settings.model, task=wiring.task_of(vw.traits))
        settings = msgspec.structs.replace(settings, model=model)
    wiring.check_task(settings.model.task, vw.traits)
    return vw, settings


def _save(trainer: Trainer, store: CheckpointStore) -> str:
    checkpoint = trainer.snapshot().checkpoint()
    version = checkpoint.manifest.versions["weir"]
    return store.save(checkpoint, Note.now("end of weir train", version), None)
