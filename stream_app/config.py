"""Settings: `weir.toml`, environment variables over it, and what both default to. Builds nothing."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from formats.schema import Schema, SchemaError
from stream_app.invalid import place_and_reason

Task = Literal["binary", "regression", "multiclass", "bandit"]

DEFAULT_FILE = "weir.toml"
SECRETS = {("http", "token"), ("source", "kafka_password"), ("source", "kafka_key_password")}

_DEFAULT_ARGS = {
    "binary": "--loss_function logistic --link logistic",
    "regression": "",
    "bandit": "--cb_explore_adf",
}


class ConfigError(Exception):
    """A setting that is unknown, of the wrong type, or impossible. The message names it and says what to do."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ModelSettings(_Section, frozen=True):
    """`[model]`: which model this is."""

    name: str = "model"
    task: Task = "binary"
    owner: str = ""
    metadata: dict[str, str] = {}


class LearnerSettings(_Section, frozen=True):
    """`[learner]`: what learns. `args` are VW's own, or a river expression; the default depends on the task.

    `names`: how many names of features are kept, 0 for none. They are looked for in the first `names_first` examples
    (None: as many as suit a service, or a bounded run), and in one of `names_every` after those.
    """

    kind: Literal["vw", "river"] = "vw"
    args: str | None = None
    names: int = 262_144
    names_first: int | None = None
    names_every: int = 16


class EventSettings(_Section, frozen=True):
    """`[events]`: how events are written, and how far back a repeated id is recognised.

    `separator` stands between cells: by default a comma for csv, a tab for tsv. `quoting` says whether quotes hold
    cells together: by default in csv, and not in tsv, which has none.
    """

    format: Literal["json", "vw", "csv", "tsv"] = "json"
    columns: list[str] = []
    encoding: str = "utf-8"
    separator: str | None = None
    quoting: bool | None = None
    dedupe_window: int = 10_000
    max_bytes: int = 1 << 20


class SourceSettings(_Section, frozen=True):
    """`[source]`: where events come from. `batch` is the size of a micro-batch.

    `kafka` holds options of aiokafka; its secrets come from WEIR_SOURCE_KAFKA_PASSWORD, WEIR_SOURCE_KAFKA_KEY_PASSWORD,
    or the same with _FILE, only.
    """

    url: str = "log:data/log"
    partitions: int | None = None
    retain_s: float | None = None
    retain_bytes: int | None = None
    batch: int = 128
    timeout_s: float = 10.0
    kafka: dict[str, str | int | float | bool] = {}
    kafka_password: str | None = None
    kafka_key_password: str | None = None


class CheckpointSettings(_Section, frozen=True):
    """`[checkpoints]`: where they are kept, how often they are taken, and how many stay."""

    url: str = "data/checkpoints"
    every_events: int = 10_000
    every_s: float = 60.0
    keep: int = 20


class HttpSettings(_Section, frozen=True):
    """`[http]`: where the service listens. `token` comes from WEIR_HTTP_TOKEN or WEIR_HTTP_TOKEN_FILE only."""

    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 8 << 20
    max_waiting: int = 256
    token: str | None = None


class ProgressiveSettings(_Section, frozen=True):
    """`[progressive]`: over how many labelled examples the window slides, and how fast the fading figures forget."""

    window: int = 1_000
    fading: float = 0.999


class StateSettings(_Section, frozen=True):
    """`[state]`: the folder for what belongs to this machine: dead letters, remembered features, the order journal."""

    dir: str = "data/state"
    dead_letters: int = 100_000
    remember: int = 1_000_000
    remember_s: float = 7 * 86_400.0


class Settings(_Section, frozen=True):
    """All settings. Every one has a default that works."""

    model: ModelSettings = ModelSettings()
    learner: LearnerSettings = LearnerSettings()
    events: EventSettings = EventSettings()
    schema: Schema = Schema()
    source: SourceSettings = SourceSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    http: HttpSettings = HttpSettings()
    progressive: ProgressiveSettings = ProgressiveSettings()
    state: StateSettings = StateSettings()

    @property
    def learner_args(self) -> str:
        """The learner's arguments, or the default for the task. Raises ConfigError where there is none."""
        if self.learner.args is not None:
            return self.learner.args
        if self.learner.kind == "vw" and self.model.task in _DEFAULT_ARGS:
            return _DEFAULT_ARGS[self.model.task]
        example = '"--oaa 3"' if self.learner.kind == "vw" else '"linear_model.LogisticRegression()"'
        raise ConfigError(
            f"learner.args: required for {self.learner.kind} and task {self.model.task!r}, e.g. {example}"
        )


def load(
    path: str | None = None,
    environment: Mapping[str, str] | None = None,
    override: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Settings from `path` (default: weir.toml if it is there), overridden by the environment, then by `override`.

    Raises ConfigError that names the setting.
    """
    if path is None and Path(DEFAULT_FILE).exists():
        path = DEFAULT_FILE
    tree = _read(path) if path is not None else {}
    for section, key in SECRETS:
        if key in tree.get(section, {}):
            name = f"WEIR_{section}_{key}".upper()
            raise ConfigError(f"{path}: {section}.{key} is a secret; set {name} or {name}_FILE instead")
    _override(tree, os.environ if environment is None else environment)
    for name, changes in (override or {}).items():
        tree.setdefault(name, {}).update(changes)
    return of(tree, path or "settings")


def replaced(settings: Settings, section: str, **changes: Any) -> Settings:
    """The settings with some of one section changed, and checked again. Raises ConfigError."""
    try:
        new = msgspec.structs.replace(getattr(settings, section), **changes)
    except SchemaError as error:
        raise ConfigError(str(error)) from error
    changed: Settings = msgspec.structs.replace(settings, **{section: new})
    _check(changed, "settings")
    return changed


def of(tree: Mapping[str, Any], origin: str = "settings") -> Settings:
    """Settings from nested dicts. Raises ConfigError that names the setting."""
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {_named(error)}") from error
    except SchemaError as error:
        raise ConfigError(f"{origin}: {error}") from error
    _check(settings, origin)
    return settings


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _override(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    for section in msgspec.structs.fields(Settings):
        for setting in msgspec.structs.fields(section.type):
            name = f"WEIR_{section.encode_name}_{setting.encode_name}".upper()
            text = environment.get(name)
            if (section.encode_name, setting.encode_name) in SECRETS and f"{name}_FILE" in environment:
                text = _secret(environment[f"{name}_FILE"], name)
            if text is not None:
                tree.setdefault(section.encode_name, {})[setting.encode_name] = _parsed(text, setting.type)


def _secret(path: str, name: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{name}_FILE: {path!r} cannot be read: {error.strerror}") from error


def _parsed(text: str, wanted: Any) -> Any:
    """The text as itself where text is wanted, else as the TOML value that it spells."""
    if wanted is str or wanted == str | None:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _named(error: msgspec.ValidationError) -> str:
    place, reason = place_and_reason(error)
    return f"{place.replace('[...]', '')}: {'unknown setting' if reason == 'unknown field' else reason}"


def _check(settings: Settings, origin: str) -> None:
    positive = {
        "learner.names": settings.learner.names >= 0,
        "learner.names_every": settings.learner.names_every >= 1,
        "learner.names_first": (settings.learner.names_first or 0) >= 0,
        "events.dedupe_window": settings.events.dedupe_window >= 0,
        "events.max_bytes": settings.events.max_bytes > 0,
        "source.batch": 1 <= settings.source.batch <= 1024,
        "source.timeout_s": settings.source.timeout_s > 0,
        "source.partitions": settings.source.partitions is None or 1 <= settings.source.partitions <= 1024,
        "checkpoints.every_events": settings.checkpoints.every_events > 0,
        "checkpoints.every_s": settings.checkpoints.every_s > 0,
        "checkpoints.keep": settings.checkpoints.keep > 0,
        "http.port": 0 <= settings.http.port < 65_536,
        "http.max_body_bytes": settings.http.max_body_bytes > 0,
        "http.max_waiting": settings.http.max_waiting > 0,
        "progressive.window": 1 <= settings.progressive.window <= 1_000_000,
        "progressive.fading": 0.0 < settings.progressive.fading < 1.0,
        "state.dead_letters": settings.state.dead_letters > 0,
        "state.remember": settings.state.remember > 0,
        "state.remember_s": settings.state.remember_s > 0,
    }
    if settings.http.token is not None and not settings.http.token.strip():
        raise ConfigError(f"{origin}: http.token: it is empty; set a secret, or unset WEIR_HTTP_TOKEN")
    for name, is_valid in positive.items():
        if not is_valid:
            section, key = name.split(".")
            value = getattr(getattr(settings, section), key)
            raise ConfigError(f"{origin}: {name}: {value!r} is out of range")
    try:
        "".encode(settings.events.encoding)
    except LookupError as error:
        raise ConfigError(f"{origin}: events.encoding: {settings.events.encoding!r} is no known encoding") from error
