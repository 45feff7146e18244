"""Bounded training: learn files to their end, print the progressive table, keep the model. No service, no clock."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint
from learners.learner import Learner
from learners.vw import VW
from learners.vw_command import VWCommand
from learners.vw_lines import of_first_lines
from stream_app import wiring
from stream_app.backfill import (
    BackfillRun,
    Seam,
    begun_in,
    check_rows,
    check_schema,
    letters_path,
    live_from,
    rows_read,
)
from stream_app.buried import BuriedLetters, LetterFile
from stream_app.history import is_live
from stream_app.keeping import Keeper
from stream_app.made_by import identity
from stream_app.outputs import check_outputs
from stream_app.read_ahead import read_ahead
from stream_app.settings import ConfigError, Settings
from stream_app.sources.file import FileSource
from stream_app.summary import OwnTable, Table, Trained, VWTable
from stream_app.trainer import Trainer

BATCH = 128
"""Records read and learnt at once."""

NO_PREDICTIONS = (
    "--predictions: cannot go with --resume, as what was learnt before a kill is not predicted again; leave one out"
)

Tell = Callable[[int, int], None]
"""Told how many bytes have been read, and of how many."""


class TrainJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to learn and where the results go.

    `out` is the checkpoint store, None to keep no model. With `is_resumed` a backfill that lies there is gone on with;
    `live_from` is where the live stream goes on after it: `start`, `end` or offsets.
    """

    settings: Settings
    files: Sequence[str]
    out: str | None = None
    predictions: str | None = None
    progress: str | None = None
    is_task_given: bool = True
    is_resumed: bool = False
    live_from: str | None = None
    dead_letters: str | None = None


async def train(job: TrainJob, err: TextIO, tell: Tell = lambda consumed, size: None) -> Trained:
    """Learn the files of the job, once, in order. The table and what went wrong go to `err` as they come."""
    store = open_store(job.out, job.settings.checkpoints.options) if job.out is not None else None
    begun = begun_in(store, str(job.out), job.is_resumed) if store is not None else None
    run = _run(job, begun, err)
    trainer, table = run.trainer, run.table
    if begun is not None:
        err.write(_gone_on_with(begun, str(job.out)))
    backfill = None
    if store is not None and not run.is_finished:
        settings = job.settings
        seam = await live_from(settings, trainer.parts.format, job.live_from, begun)
        head = begun.id if begun is not None else None
        keeper = Keeper(trainer, store, settings.checkpoints, head, run.letters)
        backfill = BackfillRun(trainer, run.source, keeper, Seam(seam, run.rows))
    table.begin(trainer, job.predictions)
    learnt_before = trainer.counts.records
    started = time.perf_counter()
    with _durable(run.letters):
        _learn(trainer, run.source, backfill, lambda: _told(table, tell, run.source))
        checkpoint = backfill.finish() if backfill is not None else begun.id if begun is not None else None
    seconds = time.perf_counter() - started
    trained = table.finish(trainer, trainer.parts.learner, seconds, checkpoint)
    return _of_this_run(trained, learnt_before, trainer.counts.records)


class _Run(msgspec.Struct, frozen=True):
    """The parts of a bounded run, restored where it goes on."""

    trainer: Trainer
    source: FileSource
    table: Table
    letters: LetterFile | None
    is_finished: bool
    rows: dict[str, object]


def _run(job: TrainJob, begun: Checkpoint | None, err: TextIO) -> _Run:
    is_finished = begun is not None and is_live(begun.manifest)
    command = _command(job)
    check_outputs(job.files, _outputs(job, command))
    if command is not None:
        command.check_files()
    table = VWTable(err, job.files, command.is_quiet) if command is not None else OwnTable(err)
    console = _Console(table, is_open=begun is None)
    learner, settings = _learner(job, console, command)
    format_ = wiring.build_format(settings, learner.traits)
    split = of_first_lines(format_.split, command.first_lines if command is not None else None)
    source = FileSource(() if is_finished else job.files, split)
    rows = rows_read(source, wiring.build_format(settings, learner.traits)) if job.out is not None else {}
    letters = None if is_finished else _letters(job, source, begun)
    # VW counts for itself: without a model to keep, metrics of our own would be worked out for nobody.
    is_kept = job.out is not None or settings.learner.kind != "vw"
    settings = wiring.with_names(settings, job.out is not None)
    trainer = wiring.build_trainer(settings, learner, format_, BuriedLetters(err, letters), is_kept)
    if begun is not None:
        if not is_finished:
            check_schema(begun, identity(settings).schema)
            check_rows(begun, rows)
        console.is_open = True
        trainer.restore(begun)
    return _Run(trainer, source, table, letters, is_finished, rows)


class _Console:
    """What a learner prints, on its way to the table; nothing while it is not open: a learner that is to be restored
    says everything twice."""

    def __init__(self, table: Table, is_open: bool) -> None:
        self._table = table
        self.is_open = is_open

    def write(self, text: str) -> None:
        if self.is_open:
            self._table.write(text)


def _learn(trainer: Trainer, source: FileSource, backfill: BackfillRun | None, tell: Callable[[], None]) -> None:
    try:
        with closing(read_ahead(source, trainer.parts.format, BATCH)) as batches:
            for batch in batches:
                records, decoded = batch.records, batch.decoded
                new = backfill.new(records) if backfill is not None else records
                if new is not None:
                    trainer.learn_whole(new, decoded.without_first(len(records.payloads) - len(new.payloads)))
                    if backfill is not None:
                        backfill.learnt()
                tell()
    except BaseException as error:
        if backfill is not None:
            backfill.interrupted(error)
        raise


def _told(table: Table, tell: Tell, source: FileSource) -> None:
    table.update()
    tell(source.consumed_bytes, source.size_bytes)


def _letters_path(job: TrainJob) -> Path | None:
    """Where dead letters are kept; None where they are only told."""
    if job.dead_letters is not None:
        return Path(job.dead_letters)
    return letters_path(job.out) if job.out is not None else None


def _letters(job: TrainJob, source: FileSource, begun: Checkpoint | None) -> LetterFile | None:
    """Raises ConfigError where dead letters cannot be kept there."""
    path = _letters_path(job)
    if path is None:
        return None
    if job.dead_letters is not None and not path.absolute().parent.is_dir():
        raise ConfigError(f"--dead-letters {path}: there is no folder {path.absolute().parent}")
    return LetterFile(path, source, begun.manifest.position.get(0, 0) if begun is not None else None)


@contextmanager
def _durable(letters: LetterFile | None) -> Iterator[None]:
    """Dead letters are durable whatever ends the run; closed only at its end, as a thread may still write them out."""
    try:
        yield
    finally:
        if letters is not None:
            letters.sync()
    if letters is not None:
        letters.close()


def _outputs(job: TrainJob, command: VWCommand | None) -> dict[str, str]:
    """What the run writes, by option."""
    outputs = command.files() if command is not None else {}
    if job.predictions is not None:
        outputs["--predictions"] = job.predictions
    if (letters := _letters_path(job)) is not None:
        outputs["--dead-letters"] = str(letters)
    return outputs


def _gone_on_with(begun: Checkpoint, place: str) -> str:
    manifest = begun.manifest
    if is_live(manifest):
        return (
            f"weir: the backfill in {place} is finished ({begun.id[:19]}…): go on with weir serve; further events come "
            "in by weir produce\n"
        )
    said = f"weir: going on after record {manifest.position.get(0, 0)}\n"
    if not manifest.exact_resume:
        said += f"weir: {manifest.learner.arguments!r} does not resume exactly: the last digits will differ"
    return said.rstrip() + "\n"


def _of_this_run(trained: Trained, learnt_before: int, learnt: int) -> Trained:
    """Figures go over all that was ever learnt, but speed over what was learnt now."""
    share = (learnt - learnt_before) / learnt if learnt else 0.0
    return msgspec.structs.replace(trained, examples_per_s=trained.examples_per_s * share)


def _command(job: TrainJob) -> VWCommand | None:
    """What VW is asked for; None for other learners. Raises LearnerError for what a bounded run cannot do."""
    settings = job.settings
    if job.is_resumed and job.predictions is not None:
        raise ConfigError(NO_PREDICTIONS)
    if settings.learner.kind != "vw":
        return None
    command = VWCommand(settings.learner_args if job.is_task_given else settings.learner.args or "")
    command.report("--progress", job.progress)
    command.report("--predictions", job.predictions)
    if command.first_lines is not None and settings.events.format != "vw":
        raise ConfigError(f"--examples counts lines of VW text, but events.format is {settings.events.format!r}")
    if job.is_resumed and {"--predictions", "--raw_predictions"} & set(command.reports):
        raise ConfigError(NO_PREDICTIONS)
    return command


def _learner(job: TrainJob, console: _Console, command: VWCommand | None) -> tuple[Learner, Settings]:
    settings = job.settings
    if command is None:
        return wiring.build_learner(settings), settings
    vw = VW(command.learner, console.write, command.reports)
    vw.is_scored = job.out is not None
    if not job.is_task_given:
        model = msgspec.structs.replace(settings.model, task=wiring.task_of(vw.traits))
        settings = msgspec.structs.replace(settings, model=model)
    wiring.check_task(settings.model.task, vw.traits)
    return vw, settings
