"""Which stored model a command is about, and the settings to read events for it."""

import os
from pathlib import Path

import click

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint
from checkpoints.lineage import resolve
from stream_app import config as configuration
from stream_app import wiring
from stream_app.settings import ConfigError, Settings
from stream_app.stored_model import learner_as_learnt, read_as_learnt

store_option = click.option(
    "--store", metavar="DIR", help="A folder of checkpoints, as of weir train --out; default checkpoints.url."
)


def opened(config: str | None, folder: str | None, model_id: str | None) -> tuple[Settings, Checkpoint]:
    """The checkpoint with this id, or the newest, of the folder or of checkpoints.url.

    Learner and task are always the manifest's; how events are written too, where neither a settings file nor the
    environment says it. Raises ConfigError where there is none, CheckpointError for one that is damaged.
    """
    settings = configuration.load(config)
    store = open_store(folder, settings.checkpoints.options) if folder is not None else wiring.build_store(settings)
    wanted = resolve(store, model_id) if model_id is not None else store.head()
    if wanted is None:
        raise ConfigError(f"{folder or settings.checkpoints.url}: there is no checkpoint in it yet")
    checkpoint = store.load(wanted)
    manifest = checkpoint.manifest
    wiring.check_made_by(settings, checkpoint)
    settings = learner_as_learnt(settings, manifest)
    if config is None and (folder is not None or not Path(configuration.DEFAULT_FILE).exists()):
        has_schema = any(name.startswith("WEIR_SCHEMA_") for name in os.environ)
        settings = read_as_learnt(settings, manifest, has_schema, "WEIR_EVENTS_FORMAT" in os.environ)
    return settings, checkpoint
