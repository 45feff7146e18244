"""Functions of the user's, named in `[hooks]`: found, called, and told apart by the source that they stand in."""

import functools
import hashlib
import importlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream_app.serving import Prediction
from stream_app.settings import ConfigError

log = logging.getLogger(__name__)

FEATURES = "features_hook"
"""Where the schema of a manifest says which code has made the features."""

LOG_EVERY_S = 60.0


class Hook(msgspec.Struct, frozen=True):
    """A function by name, and the sha256 of the source of its module."""

    name: str
    call: Callable[..., Any]
    sha256: str

    def described(self) -> dict[str, str]:
        """For a manifest."""
        return {"name": self.name, "sha256": self.sha256}


@functools.cache
def load_hook(setting: str, name: str) -> Hook:
    """The function `package.module:function`, looked for once in a process: its sha256 is of the code that runs.

    Raises ConfigError where there is none, or its module does not load.
    """
    module_name, _, function = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"hooks.{setting}: {module_name!r}: {type(error).__name__}: {error}") from error
    call = getattr(module, function, None)
    if not callable(call):
        raise ConfigError(f"hooks.{setting}: {name!r}: {module_name} has no function {function!r}")
    source = getattr(module, "__file__", None)
    code = Path(source).read_bytes() if source is not None else module_name.encode()
    return Hook(name, call, hashlib.sha256(code).hexdigest())


def check_features(model_id: str, made_by: object, present: object) -> None:
    """Warn of a model whose features were made by other code than events are read with now."""
    if made_by != present:
        log.warning(
            "%s was learnt with features by %s, events are read with %s now: predictions may be off",
            model_id, _shown(made_by), _shown(present),
        )  # fmt: skip


def _shown(described: object) -> str:
    match described:
        case {"name": str(name), "sha256": str(sha256)}:
            return f"{name} ({sha256[:8]})"
    return "no hook"


class PredictHook:
    """Tells the user's function of events and answers, one by one. What it raises is counted, and changes nothing."""

    def __init__(self, hook: Hook, errors: Counter[str]) -> None:
        """Errors are counted under `hook`."""
        self._hook = hook
        self._errors = errors
        self._logged_at: float | None = None

    def __call__(self, payloads: Sequence[bytes], answers: Sequence[Prediction]) -> None:
        for payload, answer in zip(payloads, answers, strict=True):
            try:
                self._hook.call(_event(payload), msgspec.to_builtins(answer))
            except (Exception, SystemExit) as error:  # noqa: BLE001 whatever the user's code does
                self._errors["hook"] += 1
                self._log(error)

    def _log(self, error: BaseException) -> None:
        now = time.monotonic()
        if self._logged_at is None or now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.warning("hooks.predict: %s: %s: %s", self._hook.name, type(error).__name__, error)


def _event(payload: bytes) -> dict[str, Any]:
    """The event as it came; of another format than JSON its text, as `raw`."""
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError:
        event = None
    return event if isinstance(event, dict) else {"raw": payload.decode(errors="replace")}
