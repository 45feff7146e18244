"""The one place that names concrete classes: settings in, parts that fit each other out."""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint, Registry
from formats.csv_row import CsvRow
from formats.example import FormatError
from formats.format import Format
from formats.hooked_json import HookedJson
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.vw_text import VwText
from learners.learner import Learner, Traits
from learners.river import River
from learners.vw import VW
from stream_app.config import replaced
from stream_app.dead_letters import DeadLetterBox
from stream_app.dedupe import DedupeWindow
from stream_app.deployments import Deployments
from stream_app.hooks import FEATURES, PredictHook, check_features, load_hook
from stream_app.loaded_models import LoadedModels
from stream_app.made_by import identity
from stream_app.membership import Alone, Membership, Onlooker
from stream_app.money import money_of
from stream_app.names import FIRST_OF_A_BOUNDED_RUN, FIRST_OF_A_SERVICE, Names
from stream_app.progressive import Progressive
from stream_app.sample import MOST as SAMPLED
from stream_app.sample import Sample
from stream_app.sanity import SanitySet
from stream_app.settings import ConfigError, Settings, Task
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.file import FileSource
from stream_app.sources.followed import Followed
from stream_app.sources.log_view import LogView
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import Source
from stream_app.stored_model import StoredModel, as_learnt
from stream_app.trainer import Parts, Trainer
from stream_app.value import Value
from stream_app.versions import check_versions
from stream_app.webhook import Webhook

if TYPE_CHECKING:
    from stream_app.sources.kafka_topic import KafkaOptions

MOST_PREDICTION_BYTES = 16 << 20
"""A record of `predictions.topic`: an event, escaped, and its answer."""


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
    dedupe = DedupeWindow(settings.dedupe_window)
    wanted = settings.learner
    first = FIRST_OF_A_SERVICE if wanted.names_first is None else wanted.names_first
    names = Names(wanted.names if learner.traits.reads == "text" else 0, wanted.names_every, first)
    # Groups of lines have no score that could be explained.
    sample = Sample(SAMPLED if is_kept and not learner.traits.is_multiline else 0, learner.traits.reads)
    parts = Parts(learner, format_, progressive, dedupe, dead_letters, names, sample)
    trainer = Trainer(parts, identity(settings), is_kept)
    if settings.value.is_set and settings.model.task == "binary" and (money := money_of(settings)) is not None:
        trainer.value = Value(money, settings.progressive.window)
    return trainer


def with_names(settings: Settings, is_kept: bool) -> Settings:
    """For a bounded run: names from more examples than in a service; none where the model is thrown away."""
    wanted = settings.learner
    first = FIRST_OF_A_BOUNDED_RUN if wanted.names_first is None else wanted.names_first
    return replaced(settings, "learner", names=wanted.names if is_kept else 0, names_first=first)


def build_source(settings: Settings, format_: Format) -> Source:
    """The source of `[source]`. Raises ConfigError for an unknown scheme, SourceError if it cannot be opened."""
    scheme, place = source_place(settings)
    return SOURCES[scheme](settings, place, format_)


def build_follower(settings: Settings, format_: Format) -> Source:
    """Stands in for the source where it is another service that reads it."""
    scheme, place = source_place(settings)
    if scheme != "kafka":
        return Followed()
    from stream_app.sources.kafka_topic import KafkaTopic

    return Followed(functools.partial(KafkaTopic(place, kafka_options(settings)).look_up, None))


def build_view(settings: Settings, own: Path | None = None) -> Source:
    """The source of `[source]` for whoever only reads it, while a service may own it. Raises as `build_source` does.

    `own`: see LogView.
    """
    scheme, place = source_place(settings)
    if scheme != "log":
        return build_source(settings, build_format(settings, build_learner(settings).traits))
    check_columns(settings)
    return LogView(place, own)


def build_stored(settings: Settings, checkpoint: Checkpoint) -> StoredModel:
    """The model of a checkpoint, ready to predict, reading events as it was taught to.

    Raises ConfigError or LearnerError where it cannot be built, or its state does not fit.
    """
    manifest = checkpoint.manifest
    check_made_by(settings, checkpoint)
    settings = as_learnt(settings, manifest)
    learner = build_learner(settings)
    learner.restore(checkpoint.blobs["learner"])
    return StoredModel(checkpoint.id, learner, build_format(settings, learner.traits), manifest)


def check_made_by(settings: Settings, checkpoint: Checkpoint) -> None:
    """Whether the libraries that made a checkpoint are those here: warned of, or refused by TrainerError, as is set."""
    own, manifest = identity(settings), checkpoint.manifest
    check_versions(checkpoint.id, manifest, own.versions, settings.checkpoints.other_versions)
    check_features(checkpoint.id, manifest.schema.get(FEATURES), own.schema.get(FEATURES))


def build_deployments(settings: Settings, store: Registry) -> Deployments:
    """The tags of a store, ready to serve. Raises ConfigError where the sanity set cannot be read."""
    sanity = SanitySet(settings.deploy.sanity) if settings.deploy.sanity is not None else None
    models = LoadedModels(lambda model_id: build_stored(settings, store.load(model_id)), store, settings.deploy.models)
    return Deployments(store, models, sanity)


def build_predict_hook(settings: Settings, errors: Counter[str]) -> PredictHook | None:
    """The user's function that hears of answers, if there is one; what it raises is counted in `errors`."""
    name = settings.hooks.predict
    return None if name is None else PredictHook(load_hook("predict", name), errors)


def build_webhook(settings: Settings, errors: Counter[str]) -> Webhook | None:
    """Where alerts are posted to, if somewhere; messages that are lost are counted in `errors`."""
    if settings.alerts.webhook is None:
        return None
    from stream_app.http.poster import Poster  # loads aiohttp: only services should wait for that

    return Webhook(Poster(settings.alerts.webhook), errors)


def build_membership(settings: Settings, source: Source, folder: Path) -> Membership:
    """Which services share the model; `folder` keeps who this one is."""
    if isinstance(source, Followed):
        return Onlooker(source.look)
    if source_place(settings)[0] != "kafka":
        return Alone()
    from stream_app.sources.kafka import KafkaSource

    if not isinstance(source, KafkaSource):
        raise ConfigError(f"source.url: {settings.source.url!r} is no topic")
    return source.group(settings.source.group, settings.model.name, folder)


def source_place(settings: Settings) -> tuple[str, str]:
    """Scheme and place of `source.url`. Raises ConfigError for a scheme that no source has."""
    scheme, colon, place = settings.source.url.partition(":")
    if not colon or scheme not in SOURCES:
        known = ", ".join(f"{name}:" for name in sorted(SOURCES) if name != "memory")
        raise ConfigError(
            f"source.url: {settings.source.url!r}: expected one of {known} and a place, e.g. log:data/log"
        )
    return scheme, place


def build_store(settings: Settings) -> Registry:
    """The store of `[checkpoints]`."""
    return open_store(settings.checkpoints.url, settings.checkpoints.options)


def _vw(settings: Settings) -> Learner:
    return VW(settings.learner_args)


def _river(settings: Settings) -> Learner:
    if settings.model.task == "bandit":
        raise ConfigError("model.task: river learns no bandits here; expected binary, regression or multiclass")
    return River(settings.learner_args, settings.model.task)


def _json(settings: Settings, traits: Traits) -> Format:
    labels = _labels(settings, traits)
    if settings.hooks.features is None:
        return JsonEvent(labels, settings.schema, traits.reads)
    return HookedJson(load_hook("features", settings.hooks.features).call, labels, settings.schema, traits.reads)


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
    check_columns(settings)
    return build_topic(settings, place, settings.source.partitions, settings.events.max_bytes)


def build_topic(settings: Settings, place: str, partitions: int | None, max_record_bytes: int) -> Source:
    """A topic as a source, connected to as `[source]` says. Raises SourceError where it cannot be opened."""
    from stream_app.sources.kafka import KafkaSource  # loads aiokafka: only users of Kafka should wait for that

    options = kafka_options(settings)
    return KafkaSource(place, partitions=partitions, max_record_bytes=max_record_bytes, options=options)


def build_prediction_topic(settings: Settings) -> Source:
    """The topic of `[predictions]`. Raises ConfigError where it is none, SourceError where it cannot be opened."""
    scheme, _, place = (settings.predictions.topic or "").partition(":")
    if scheme != "kafka":
        raise ConfigError(
            f"predictions.topic: {settings.predictions.topic!r}: expected kafka://HOST:PORT/TOPIC, as source.url"
        )
    return build_topic(settings, place, None, MOST_PREDICTION_BYTES)


def kafka_options(settings: Settings) -> "KafkaOptions":
    """How to connect to the cluster of `source.url`."""
    from stream_app.sources.kafka_topic import KafkaOptions

    source = settings.source
    return KafkaOptions(
        client=dict(source.kafka),
        password=source.kafka_password,
        key_password=source.kafka_key_password,
        timeout_s=source.timeout_s,
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
