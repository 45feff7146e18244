"""Where settings come from: `weir.toml`, and environment variables over it. Builds nothing."""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from formats.schema import SchemaError
from stream_app.invalid import place_and_reason, with_choices
from stream_app.money import money_of
from stream_app.ranges import RANGES
from stream_app.settings import GUARD_METRICS, ConfigError, Settings

DEFAULT_FILE = "weir.toml"
_KUBERNETES = re.compile(r"\w+_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)")

SECRETS = {("http", "token"), ("source", "kafka_password"), ("source", "kafka_key_password"), ("alerts", "webhook")}


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
    _check_guard(settings, origin)
    money_of(settings, origin)
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
    _check_variables(environment)
    for section in msgspec.structs.fields(Settings):
        for setting in msgspec.structs.fields(section.type):
            name = f"WEIR_{section.encode_name}_{setting.encode_name}".upper()
            text = environment.get(name)
            if (section.encode_name, setting.encode_name) in SECRETS and f"{name}_FILE" in environment:
                text = _secret(environment[f"{name}_FILE"], name)
            if text is not None:
                tree.setdefault(section.encode_name, {})[setting.encode_name] = _parsed(text, setting.type)


def _check_variables(environment: Mapping[str, str]) -> None:
    """Raises ConfigError for one that begins as ours do, but sets nothing. Their values may be secrets."""
    known = [
        f"WEIR_{section.encode_name}_{setting.encode_name}".upper()
        for section in msgspec.structs.fields(Settings)
        for setting in msgspec.structs.fields(section.type)
    ]
    known += [f"WEIR_{section}_{key}_FILE".upper() for section, key in SECRETS]
    for name in sorted(environment.keys() - set(known)):
        if name.startswith("WEIR_") and not _is_of_kubernetes(name, environment[name]):
            near = get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]}?" if near else "variables are WEIR_<SECTION>_<KEY>;"
            raise ConfigError(f"{name}: there is no such setting: {meant} correct it, or unset it")


def _is_of_kubernetes(name: str, value: str) -> bool:
    """What a pod is told of a service that is called weir, or weir-something.

    >>> [_is_of_kubernetes(*one) for one in (("WEIR_SERVICE_HOST", "10.0.0.1"), ("WEIR_PORT", "tcp://10.0.0.1:80"),
    ...  ("WEIR_UI_PORT_80_TCP_ADDR", "10.0.0.1"), ("WEIR_HTPP_PORT", "80"))]
    [True, True, True, False]
    """
    return _KUBERNETES.fullmatch(name) is not None or (
        name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    )


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
    place, reason = place_and_reason(with_choices(error, Settings))
    return f"{place.replace('[...]', '')}: {'unknown setting' if reason == 'unknown field' else reason}"


def _check(settings: Settings, origin: str) -> None:
    if settings.http.token is not None and not settings.http.token.strip():
        raise ConfigError(f"{origin}: http.token: it is empty; set a secret, or unset WEIR_HTTP_TOKEN")
    for name, allowed in RANGES.items():
        section, key = name.split(".")
        value = getattr(getattr(settings, section), key)
        if value is not None and not allowed.holds(value):
            raise ConfigError(f"{origin}: {name}: {value!r} is out of range: expected {allowed}")
    for option in settings.checkpoints.options:
        if re.search(r"secret|token|passw|key\b|credential", option.lower()):
            raise ConfigError(
                f"{origin}: checkpoints.options.{option}: it looks like a secret; set it in the environment, as "
                "AWS_SECRET_ACCESS_KEY or what the store's own client reads"
            )
    _check_join(settings, origin)
    _check_hooks(settings, origin)
    _check_webhook(settings.alerts.webhook, origin)
    try:
        "".encode(settings.events.encoding)
    except LookupError as error:
        raise ConfigError(f"{origin}: events.encoding: {settings.events.encoding!r} is no known encoding") from error


def _check_join(settings: Settings, origin: str) -> None:
    join = settings.join
    topics = {"predictions": join.predictions, "labels": join.labels, "dead_letters": join.dead_letters}
    given = [topic for topic in topics.values() if topic is not None]
    if not given:
        return
    for name, topic in topics.items():
        if topic is None:
            raise ConfigError(f"{origin}: join.{name}: required where another topic of [join] is named; name all three")
    scheme, _, place = settings.source.url.partition(":")
    if scheme != "kafka":
        raise ConfigError(
            f"{origin}: source.url: {settings.source.url!r} has no topics to join by; set it to"
            " kafka://HOST:PORT/TOPIC, or unset [join]"
        )
    if len({*given, place.rpartition("/")[2]}) < len(given) + 1:
        raise ConfigError(f"{origin}: join.predictions: {given!r} and that of source.url must be four different topics")


def _check_guard(settings: Settings, origin: str) -> None:
    """Of the user's own task, not of a stored model's: so not in `_check`."""
    metric, task = settings.deploy.guard_metric, settings.model.task
    if metric not in GUARD_METRICS[task]:
        raise ConfigError(
            f"{origin}: deploy.guard_metric: {metric!r} is no figure of model.task {task!r}, so it would guard nothing:"
            f" expected one of {', '.join(GUARD_METRICS[task])}"
        )


def _check_hooks(settings: Settings, origin: str) -> None:
    for name, hook in msgspec.structs.asdict(settings.hooks).items():
        if hook is not None and not re.fullmatch(r"[\w.]+:\w+", hook):
            raise ConfigError(f"{origin}: hooks.{name}: {hook!r}: expected package.module:function")
    if settings.hooks.features is not None and settings.events.format != "json":
        raise ConfigError(
            f"{origin}: hooks.features: it takes JSON events, but events.format is {settings.events.format!r}"
        )


def _check_webhook(url: str | None, origin: str) -> None:
    """Says nothing of the address itself: it is a secret."""
    if url is not None and not re.fullmatch(r"https?://[^\s/]+.*", url):
        raise ConfigError(f"{origin}: alerts.webhook: not an address that begins with http:// or https://")
