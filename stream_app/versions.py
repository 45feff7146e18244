"""Versions of libraries: whether a model was made by the ones that are installed."""

import logging
from collections.abc import Mapping

from checkpoints.manifest import Manifest
from stream_app.trainer import TrainerError

log = logging.getLogger(__name__)

DECIDING = {"vw": ("vowpalwabbit",), "river": ("river", "numpy", "python")}
"""Libraries whose version may change what a stored state means, by kind of learner."""


def check_versions(model_id: str, manifest: Manifest, present: Mapping[str, str], policy: str) -> None:
    """Warn of a model that other versions have made, or raise TrainerError where the policy is `refuse`."""
    differing = [
        f"{name} {manifest.versions[name]} (here {present[name]})"
        for name in DECIDING.get(manifest.learner.kind, ())
        if name in manifest.versions
        and name in present
        and _compared(name, manifest.versions[name]) != _compared(name, present[name])
    ]
    if not differing:
        return
    said = f"{model_id} was made with {', '.join(differing)}"
    if policy == "refuse":
        raise TrainerError(f'{said}: install those, or set checkpoints.other_versions to "warn"')
    log.warning("%s: it may not mean the same, and need not resume exactly", said)


def _compared(name: str, version: str) -> str:
    """Python's patch level changes no pickle."""
    return version.rpartition(".")[0] if name == "python" else version
