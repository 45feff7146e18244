"""A bounded run whose model is kept: checkpoints on the way, going on after a kill, and the seam to the live stream."""

import re
from pathlib import Path

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore
from checkpoints.errors import CheckpointError
from checkpoints.manifest import Backfill, Position
from formats.csv_row import CsvRow
from formats.format import Format
from stream_app import wiring
from stream_app.derived import finished
from stream_app.history import History
from stream_app.keeping import Keeper
from stream_app.settings import ConfigError, Settings
from stream_app.sources.file import FileSource
from stream_app.sources.source import Records, SourceError
from stream_app.trainer import Trainer

LETTERS = "dead_letters.jsonl"
_PLACES = re.compile(r"\d+:\d+(,\d+:\d+)*")


class Seam(msgspec.Struct, frozen=True):
    """What every checkpoint of a backfill says alike: where the live stream begins, and how rows of CSV are read."""

    live_from: Position
    rows: dict[str, object] = {}


class BackfillRun:
    """What a trainer needs to learn files in several goes. State is written by the one who learns, in its thread.

    A checkpoint stands before the first record is learnt, so that where the live stream begins is known for good.
    """

    def __init__(self, trainer: Trainer, source: FileSource, keeper: Keeper, seam: Seam) -> None:
        begun = trainer.backfill
        self._trainer = trainer
        self._keeper = keeper
        self._source = source
        self._seam = seam
        self._history = History(source.paths, source.sizes, begun.files if begun is not None else ())
        if keeper.head is None:
            self._describe()
            keeper.save("a backfill begins")

    def new(self, records: Records) -> Records | None:
        """Those of the records that are still to be learnt. Raises TrainerError where files have changed."""
        return self._history.new(self._source.current, records)

    def learnt(self) -> None:
        """Call it after records were learnt: takes a checkpoint where one is due."""
        if self._keeper.due() is not None:
            self._describe()
            self._keeper.begin("on the way")

    def interrupted(self, error: BaseException) -> None:
        """Keep what was learnt before the error. Raises SourceError that says so for a file that cannot be read on."""
        if isinstance(error, CheckpointError) or not self._trainer.is_whole:
            return
        self._describe()
        self._keeper.save(f"interrupted: {str(error) or type(error).__name__}"[:1000])
        if isinstance(error, SourceError):
            learnt = self._trainer.counts.records
            raise SourceError(
                f"{error}. The {learnt} records before that are learnt and kept: put the file right, then go on with "
                "--resume"
            ) from error

    def finish(self) -> str:
        """All files are learnt: the checkpoint that the live stream goes on from. Returns its id."""
        self._history.end()
        described = self._describe()
        last = self._keeper.save("end of the files")
        seam = finished(self._trainer, last, msgspec.structs.replace(described, is_finished=True))
        model_id = self._keeper.keep(seam, "a backfill is finished")
        self._keeper.close()
        return model_id

    def _describe(self) -> Backfill:
        """Have the next checkpoint say what was learnt so far."""
        seam = self._seam
        self._trainer.backfill = Backfill(files=self._history.files(), live_from=seam.live_from, rows=seam.rows)
        return self._trainer.backfill


def begun_in(store: CheckpointStore, place: str, is_resumed: bool) -> Checkpoint | None:
    """The backfill that lies there, as far as it came; None where there is nothing.

    Raises ConfigError for a model where none is to be gone on with, or one that was not learnt from files.
    """
    head = store.head()
    if head is None:
        return None
    if not is_resumed:
        raise ConfigError(
            f"{place}: holds a model already ({head[:19]}…); name an empty folder, or go on with a backfill by --resume"
        )
    checkpoint = store.load(head)
    if checkpoint.manifest.backfill is None:
        raise ConfigError(f"--resume: {place} holds a model that was not learnt from files ({head[:19]}…)")
    return checkpoint


def check_schema(begun: Checkpoint, schema: dict[str, object]) -> None:
    """Raises ConfigError where the rest of the files would be read otherwise than what was learnt of them."""
    before, now = begun.manifest.schema, msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, object])
    different = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if different:
        name = "events.format" if different[0] == "events" else f"schema.{different[0]}"
        raise ConfigError(
            f"--resume: {name} is {now.get(different[0])!r}, but was {before.get(different[0])!r} when files were "
            "learnt before: set it back, or begin again in an empty folder"
        )


def rows_read(source: FileSource, format_: Format) -> dict[str, object]:
    """What rows of CSV mean: by the settings, or the header of the first file. Empty for formats without columns.

    `format_` is one that has read nothing yet, and is not used afterwards. Raises SourceError.
    """
    if not isinstance(format_, CsvRow):
        return {}
    for path in source.paths:
        if format_.columns:
            break
        with source.opened(path) as stream:
            next(format_.split(stream), None)
    return format_.read_by


def check_rows(begun: Checkpoint, rows: dict[str, object]) -> None:
    """Raises ConfigError where the rest of the rows would mean something else than those learnt."""
    before = begun.manifest.backfill.rows if begun.manifest.backfill is not None else {}
    for name in sorted(before.keys() & rows.keys()):
        if before[name] != rows[name]:
            raise ConfigError(
                f"--resume: events.{name} is {rows[name]!r}, by the settings or the header of the first file, but was "
                f"{before[name]!r} when files were learnt before: set it back, or begin again in an empty folder"
            )


async def live_from(settings: Settings, format_: Format, wanted: str | None, begun: Checkpoint | None) -> Position:
    """Where the live stream is read from after the files; once recorded, it stays. Raises ConfigError, SourceError."""
    recorded = begun.manifest.backfill.live_from if begun is not None and begun.manifest.backfill is not None else None
    if wanted == "end" and recorded is None:
        return await _end_of(settings, format_)
    if wanted in ("end", None):
        return recorded or {}
    position = _position(str(wanted))
    if recorded is not None and position != recorded:
        raise ConfigError(
            f"--live-from {wanted}: this backfill began with {said(recorded)!r}; leave the option out to go on with it"
        )
    return position


def said(position: Position) -> str:
    """A position as `--live-from` takes it."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(position.items())) or "start"


def letters_path(place: str) -> Path:
    """Where dead letters are kept beside the checkpoints at `place`."""
    return Path(place.removeprefix("file:"), LETTERS)


def _position(text: str) -> Position:
    if text == "start":
        return {}
    if not _PLACES.fullmatch(text):
        raise ConfigError(f"--live-from: {text!r}: expected start, end, or PARTITION:OFFSET,... as in 0:1500")
    pairs = [pair.split(":") for pair in text.split(",")]
    position = {int(partition): int(offset) for partition, offset in pairs}
    if len(position) < len(pairs):
        raise ConfigError(f"--live-from: {text!r} names a partition twice")
    return position


async def _end_of(settings: Settings, format_: Format) -> Position:
    source = wiring.build_source(settings, format_)
    try:
        return dict(source.end())
    finally:
        await source.close()
