"""What differs between two checkpoints: settings, data range, metrics, and the weights that moved most."""

import msgspec

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import Manifest
from learners.learner import HasWeights, LearnerError, Weight
from stream_app import names as dictionary
from stream_app import wiring
from stream_app.progressive.scores import part
from stream_app.settings import Settings


class Change(msgspec.Struct, frozen=True):
    """One thing that is not the same."""

    what: str
    before: object
    after: object
    by: float | None = None
    """The difference, of numbers."""


class Differences(msgspec.Struct, frozen=True):
    """Between two checkpoints; what is equal is left out."""

    before: str
    after: str
    settings: list[Change]
    data: list[Change]
    metrics: list[Change]
    weights: list[Change]
    """Largest movement first."""
    remarks: list[str] = []


def differences(settings: Settings, before: Checkpoint, after: Checkpoint, top: int) -> Differences:
    """All of it, with the `top` weights that moved most. Raises LearnerError where a state does not fit."""
    old, new = before.manifest, after.manifest
    remarks: list[str] = []
    try:
        moved = _moved(_weights(settings, before), _weights(settings, after))
    except LearnerError as error:
        moved = []
        remarks.append(f"weights are not compared: {error}")
    return Differences(
        before=before.id,
        after=after.id,
        settings=_changes(_settings(old), _settings(new)),
        data=_changes(_data(old), _data(new)),
        metrics=_changes(numbers(old), numbers(new)),
        weights=moved[:top],
        remarks=remarks,
    )


def numbers(manifest: Manifest) -> dict[str, object]:
    """Every figure that is one number: those of the whole stream by their name, others with where they are from."""
    found: dict[str, object] = {}
    for over in ("window", "fading", "total"):
        prefix = "" if over == "total" else f"{over}."
        plain = part(manifest.metrics, over).items()
        found |= {f"{prefix}{name}": value for name, value in plain if isinstance(value, int | float | None)}
    return found


def _settings(manifest: Manifest) -> dict[str, object]:
    plain: dict[str, object] = {
        "learner.kind": manifest.learner.kind,
        "learner.args": manifest.learner.arguments,
        "model.name": manifest.model.name,
        "model.task": manifest.model.task,
        "model.owner": manifest.model.owner,
        "platform": manifest.platform,
        "git commit": manifest.git_commit,
    }
    plain |= {f"model.metadata.{name}": value for name, value in manifest.model.metadata.items()}
    plain |= {f"schema.{name}": value for name, value in manifest.schema.items()}
    return plain | {f"version of {name}": value for name, value in manifest.versions.items()}


def _data(manifest: Manifest) -> dict[str, object]:
    stretch = manifest.since_parent
    found: dict[str, object] = {f"position {part}": offset for part, offset in sorted(manifest.position.items())}
    found["last event time"] = stretch.last_time_s
    found["records not learnt (holes)"] = sum(hole.last - hole.first for hole in manifest.holes)
    found["exact_resume"] = manifest.exact_resume
    return found


def _changes(before: dict[str, object], after: dict[str, object]) -> list[Change]:
    changes = []
    for what in dict.fromkeys([*before, *after]):
        one, other = before.get(what), after.get(what)
        if one != other:
            are_numbers = isinstance(one, int | float) and isinstance(other, int | float)
            changes.append(Change(what, one, other, other - one if are_numbers else None))  # type: ignore[operator]
    return changes


def _weights(settings: Settings, checkpoint: Checkpoint) -> dict[str, Weight]:
    model = wiring.build_stored(settings, checkpoint)
    if not isinstance(model.learner, HasWeights):
        raise LearnerError(f"{model.learner.traits.kind} learners have none that can be told")
    told = model.learner.weights(dictionary.pairs(checkpoint.blobs.get("names", b"")), iter(()))
    return {_key(one): one for one in told.weights}


def _key(one: Weight) -> str:
    return str(one.index) if one.index is not None else " or ".join(one.names)


def _moved(before: dict[str, Weight], after: dict[str, Weight]) -> list[Change]:
    moved = []
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        one, other = (old.weight if old is not None else 0.0), (new.weight if new is not None else 0.0)
        if one != other:
            names = (new or old).names  # type: ignore[union-attr]
            moved.append(Change(" or ".join(names) or f"(no name) {key}", one, other, other - one))
    return sorted(moved, key=lambda change: (-abs(change.by or 0.0), change.what))
