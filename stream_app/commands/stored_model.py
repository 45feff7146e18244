"""A stored model, and the settings that it was learnt with as far as its manifest says them."""

import os
from pathlib import Path

import click
import msgspec

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint
from checkpoints.lineage import resolve
from checkpoints.manifest import Manifest
from formats.schema import Schema
from stream_app import config as configuration
from stream_app import wiring
from stream_app.config import ConfigError, Settings

store_option = click.option(
    "--store", metavar="DIR", help="A folder of checkpoints, as of weir train --out; default checkpoints.url."
)


def opened(config: str | None, folder: str | None, model_id: str | None) -> tuple[Settings, Checkpoint]:
    """The checkpoint with this id, or the newest, of the folder or of checkpoints.url.

    Learner and task are always the manifest's; how events are written too, where neither a settings file nor the
    environment says it. Raises ConfigError where there is none, CheckpointError for one that is damaged.
    """
    settings = configuration.load(config)
    store = open_store(folder) if folder is not None else wiring.build_store(settings)
    wanted = resolve(store, model_id) if model_id is not None else store.head()
    if wanted is None:
        raise ConfigError(f"{folder or settings.checkpoints.url}: there is no checkpoint in it yet")
    checkpoint = store.load(wanted)
    manifest = checkpoint.manifest
    settings = configuration.replaced(settings, "learner", kind=manifest.learner.kind, args=manifest.learner.arguments)
    settings = configuration.replaced(settings, "model", task=manifest.model.task)
    if config is None and (folder is not None or not Path(configuration.DEFAULT_FILE).exists()):
        settings = _read_as_learnt(settings, manifest)
    return settings, checkpoint


def _read_as_learnt(settings: Settings, manifest: Manifest) -> Settings:
    if not any(name.startswith("WEIR_SCHEMA_") for name in os.environ):
        known = {field.name for field in msgspec.structs.fields(Schema)}
        schema = msgspec.convert({key: value for key, value in manifest.schema.items() if key in known}, Schema)
        settings = msgspec.structs.replace(settings, schema=schema)
    if "WEIR_EVENTS_FORMAT" in os.environ:
        return settings
    return configuration.replaced(settings, "events", format=manifest.schema.get("events", "json"))
