"""Who made a checkpoint: the model's name, what it reads, and the versions, platform and commit that it was made by."""

import functools
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import msgspec

from checkpoints.manifest import Model
from learners.learner import LearnerError
from stream_app.hooks import FEATURES, load_hook
from stream_app.settings import Settings
from stream_app.snapshot import Identity

_LIBRARIES = ("weir", "vowpalwabbit", "river", "numpy")


def identity(settings: Settings) -> Identity:
    """The part of every manifest that stays the same while a service runs."""
    model = settings.model
    schema = {"events": settings.events.format, **msgspec.to_builtins(settings.schema)}
    if settings.hooks.features is not None:
        schema[FEATURES] = load_hook("features", settings.hooks.features).described()
    return Identity(
        model=Model(name=model.name, task=model.task, owner=model.owner, metadata=model.metadata),
        schema=schema,
        versions={"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        platform=f"{platform.system()} {platform.machine()}",
        git_commit=_git_commit(),
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
