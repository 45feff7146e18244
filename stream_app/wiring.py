"""The one place that names concrete classes: settings in, parts that fit each other out."""

import functools
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from checkpoints import open_store
from checkpoints.checkpoint import CheckpointStore
from checkpoints.manifest import Model
from formats.csv_row import CsvRow
from formats.example import FormatError
from formats.format import Format
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.vw_text import VwText
from learners.learner import Learner, LearnerError, Traits
from learners.river import River
from learners.vw import VW
from stream_app.config import ConfigError, Settings, Task, replaced
from stream_app.dead_letters import DeadLetters
from stream_app.dedupe import DedupeWindow
from stream_app.names import FIRST_OF_A_BOUNDED_RUN, FIRST_OF_A_SERVICE, Names
from stream_app.progressive import Progressive
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.file import FileSource
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import Source
from stream_app.trainer import DeadLetterBox, Identity, Parts, Trainer

_LIBRARIES = ("weir", "vowpalwabbit", "river", "numpy")


def build_learner(settings: Settings) -> Learner:
    """The learner of `[learner]`. Raises LearnerError, or ConfigError where it does not fit the task."""
    learner = LEARNERS[settings.learner.kind](settings)
    check_task(settings.model.task, learner.traits)
    return learner


def task_of(traits: Traits) -> Task:
    """The task that a learner's labels stand for, where the user has not said."""
    if traits.label_kind == "number":
        return "binary" if traits.is_signed else "regression"
    return "multiclass" if traits.label_kind == "class" else "bandit"


def build_format(settings: Settings, traits: Traits) -> Format:
    """The format of `[events]` for a learner of these traits."""
    return FORMATS[settings.events.format](settings, traits)


def build_trainer(
    settings: Settings, learner: Learner, format_: Format, dead_letters: DeadLetterBox, is_kept: bool = True
) -> Trainer:
    """A trainer at the very beginning; see Trainer for `is_kept`."""
    progressive = Progressive(settings.model.task, settings.progressive.window, settings.progressive.fading)
    dedupe = DedupeWindow(settings.events.dedupe_window)
    wanted = settings.learner
    first = FIRST_OF_A_SERVICE if wanted.names_first is None else wanted.names_first
    names = Names(wanted.names if learner.traits.reads == "text" else 0, wanted.names_every, first)
    return Trainer(Parts(learner, format_, progressive, dedupe, dead_letters, names), identity(settings), is_kept)


def with_names(settings: Settings, is_kept: bool) -> Settings:
    """For a bounded run: names from more examples than in a service; none where the model is thrown away."""
    wanted = settings.learner
    first = FIRST_OF_A_BOUNDED_RUN if wanted.names_first is None else wanted.names_first
    return replaced(settings, "learner", names=wanted.names if is_kept else 0, names_first=first)


def build_source(settings: Settings, format_: Format) -> Source:
    """The source of `[source]`. Raises ConfigError for an unknown scheme, SourceError if it cannot be opened."""
    scheme, place = source_place(settings)
    return SOURCES[scheme](settings, place, format_)


def source_place(settings: Settings) -> tuple[str, str]:
    """Scheme and place of `source.url`. Raises ConfigError for a scheme that no source has."""
    scheme, colon, place = settings.source.url.partition(":")
    if not colon or scheme not in SOURCES:
        known = ", ".join(f"{name}:" for name in sorted(SOURCES) if name != "memory")
        raise ConfigError(
            f"source.url: {settings.source.url!r}: expected one of {known} and a place, e.g. log:data/log"
        )
    return scheme, place


def build_store(settings: Settings) -> CheckpointStore:
    """The store of `[checkpoints]`."""
    return open_store(settings.checkpoints.url)


def build_dead_letters(settings: Settings) -> DeadLetters:
    """The dead letters in the state folder."""
    return DeadLetters(Path(settings.state.dir, "dead_letters"), settings.state.dead_letters)


def identity(settings: Settings) -> Identity:
    """The part of every manifest that stays the same while a service runs."""
    model = settings.model
    return Identity(
        model=Model(name=model.name, task=model.task, owner=model.owner, metadata=model.metadata),
        schema={"events": settings.events.format, **msgspec.to_builtins(settings.schema)},
        versions={"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        platform=f"{platform.system()} {platform.machine()}",
        git_commit=_git_commit(),
    )


def _vw(settings: Settings) -> Learner:
    return VW(settings.learner_args)


def _river(settings: Settings) -> Learner:
    if settings.model.task == "bandit":
        raise ConfigError("model.task: river learns no bandits here; expected binary, regression or multiclass")
    return River(settings.learner_args, settings.model.task)


def _json(settings: Settings, traits: Traits) -> Format:
    return JsonEvent(_labels(settings, traits), settings.schema, traits.reads)


def _vw_text(settings: Settings, traits: Traits) -> Format:
    return VwText(Labels(traits.label_kind, traits.classes), traits.reads, traits.is_multiline)


def _csv(settings: Settings, traits: Traits) -> Format:
    return _rows(settings, traits, settings.events.separator or ",", quoting=settings.events.quoting is not False)


def _tsv(settings: Settings, traits: Traits) -> Format:
    return _rows(settings, traits, settings.events.separator or "\t", quoting=settings.events.quoting is True)


def _rows(settings: Settings, traits: Traits, separator: str, quoting: bool) -> Format:
    if settings.schema.label is None:
        raise ConfigError("schema.label: required for CSV, the name of the label's column")
    events, labels = settings.events, _labels(settings, traits)
    try:
        return CsvRow(labels, settings.schema, traits.reads, events.columns, events.encoding, separator, quoting)
    except (FormatError, LookupError) as error:
        raise ConfigError(f"events: {error}") from error


def _log(settings: Settings, place: str, format_: Format) -> Source:
    check_columns(settings)
    source = settings.source
    return EmbeddedLog(
        place,
        partitions=source.partitions,
        retain_s=source.retain_s,
        retain_bytes=source.retain_bytes,
        max_record_bytes=settings.events.max_bytes,
    )


def check_columns(settings: Settings) -> None:
    """Raises ConfigError where rows of a stream have no names for their cells."""
    if settings.events.format in ("csv", "tsv") and not settings.events.columns:
        raise ConfigError(f"events.columns: required for {settings.events.format} from a stream, which has no header")


def _file(settings: Settings, place: str, format_: Format) -> Source:
    return FileSource(place, split=format_.split)


def _kafka(settings: Settings, place: str, format_: Format) -> Source:
    from stream_app.sources.kafka import KafkaSource  # loads aiokafka: only users of Kafka should wait for that
    from stream_app.sources.kafka_topic import KafkaOptions

    check_columns(settings)
    source = settings.source
    return KafkaSource(
        place,
        partitions=source.partitions,
        max_record_bytes=settings.events.max_bytes,
        options=KafkaOptions(
            client=dict(source.kafka),
            password=source.kafka_password,
            key_password=source.kafka_key_password,
            timeout_s=source.timeout_s,
        ),
    )


def _memory(settings: Settings, place: str, format_: Format) -> Source:
    return MemorySource(partitions=settings.source.partitions or 1)


LEARNERS: dict[str, Callable[[Settings], Learner]] = {"vw": _vw, "river": _river}
FORMATS: dict[str, Callable[[Settings, Traits], Format]] = {"json": _json, "vw": _vw_text, "csv": _csv, "tsv": _tsv}
SOURCES: dict[str, Callable[[Settings, str, Format], Source]] = {
    "log": _log,
    "file": _file,
    "kafka": _kafka,
    "memory": _memory,
}


def _labels(settings: Settings, traits: Traits) -> Labels:
    names = settings.schema.labels
    if names and settings.model.task == "binary" and traits.is_signed:
        return Labels(
            traits.label_kind, traits.classes, {name: 1.0 if value > 0 else -1.0 for name, value in names.items()}
        )
    if names:
        return Labels(traits.label_kind, traits.classes, dict(names))
    if settings.model.task == "binary" and traits.label_kind == "number":
        return Labels.binary(traits.is_signed)
    return Labels(traits.label_kind, traits.classes)


def check_task(task: Task, traits: Traits) -> None:
    """Raises ConfigError where the labels of a learner are not those of the task."""
    fitting = {
        "binary": {"number"},
        "regression": {"number"},
        "multiclass": {"class", "text"},
        "bandit": {"bandit", "text"},
    }
    if traits.label_kind not in fitting[task]:
        raise ConfigError(
            f"model.task: {task!r} does not fit learner.args {traits.arguments!r}, whose labels are of kind "
            f"{traits.label_kind!r}: set model.task to {task_of(traits)!r} or change learner.args"
        )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise LearnerError(f"{name} is not installed: run `pip install weir`") from error


@functools.cache
def _git_commit() -> str | None:
    """The commit of the folder that the service runs in: the user's configuration and code, not Weir's."""
    try:
        run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None if run.returncode == 0 else None
