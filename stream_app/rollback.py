"""Going back to an older checkpoint: which model, at which position, without which records. Changes nothing itself."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore
from checkpoints.manifest import Hole
from stream_app.derived import replayed_from, skipped_to_here
from stream_app.history import check_live
from stream_app.loaded_models import named
from stream_app.refusal import ServiceError
from stream_app.sources.source import Position, Source
from stream_app.trainer import Trainer


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"exceptions": "except"}):
    """What `POST /rollback` asks for: a checkpoint, whether to learn again from there, and what to leave out then.

    `why` stands beside the checkpoint that records it.
    """

    id: str
    replay: bool = False
    exceptions: list[Hole] = []
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""

    @property
    def note(self) -> str:
        """What is noted beside the checkpoint that records it."""
        return f"rollback to {self.id}" + (f": {self.why}" if self.why else "")


async def rolled_back(wanted: Rollback, trainer: Trainer, store: CheckpointStore, source: Source) -> Checkpoint:
    """The checkpoint that learning goes on from, not saved yet.

    Raises CheckpointError for one that is unknown or damaged, TrainerError for one that does not fit, SourceError where
    the source no longer has what is to be replayed, ServiceError for exceptions that cannot be.
    """
    if wanted.exceptions and not wanted.replay:
        raise ServiceError("except: only a replay can leave something out; set replay")
    unknown = {hole.partition for hole in wanted.exceptions} - source.end().keys()
    if unknown:
        raise ServiceError(f"except: there is no partition {min(unknown)}, the source has {len(source.end())}")
    checkpoint = await asyncio.to_thread(store.load, await named(store, wanted.id))
    check_live(checkpoint)
    if not wanted.replay:
        return skipped_to_here(trainer, checkpoint)
    rewound = replayed_from(trainer, checkpoint, wanted.exceptions)
    await _check_readable(source, checkpoint.manifest.position)
    return rewound


async def _check_readable(source: Source, position: Position) -> None:
    """Raises SourceError where reading cannot begin at `position`."""
    async with aclosing(source.read(dict(position), [], 1)) as batches:
        await anext(batches, None)
