"""A stored model, and the settings that it was learnt with as far as its manifest says them."""

import msgspec

from checkpoints.manifest import Manifest
from formats.format import Format
from formats.schema import Schema
from learners.learner import Learner
from stream_app import config as configuration
from stream_app.money import by_side
from stream_app.settings import Settings


class StoredModel(msgspec.Struct, frozen=True):
    """A checkpoint's learner, and the format that gives it the features it was taught with. It learns nothing more."""

    id: str
    learner: Learner
    format: Format
    manifest: Manifest


def as_learnt(settings: Settings, manifest: Manifest) -> Settings:
    """The settings with learner, task, schema and format of events as this model was learnt with."""
    return read_as_learnt(learner_as_learnt(settings, manifest), manifest)


def learner_as_learnt(settings: Settings, manifest: Manifest) -> Settings:
    """The settings with learner and task as this model was learnt with."""
    settings = configuration.replaced(settings, "learner", kind=manifest.learner.kind, args=manifest.learner.arguments)
    return configuration.replaced(settings, "model", task=manifest.model.task)


def read_as_learnt(
    settings: Settings, manifest: Manifest, has_schema: bool = False, has_format: bool = False
) -> Settings:
    """The settings with schema and format of events as this model was learnt with, but for what the user has set."""
    if not has_schema:
        known = {field.name for field in msgspec.structs.fields(Schema)}
        schema = msgspec.convert({key: value for key, value in manifest.schema.items() if key in known}, Schema)
        value = by_side(settings.value, settings.schema.labels)
        settings = msgspec.structs.replace(settings, schema=schema, value=value)
    if has_format:
        return settings
    return configuration.replaced(settings, "events", format=manifest.schema.get("events", "json"))
