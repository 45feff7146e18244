"""Stored models that are loaded, ready to predict. Knows no tag and no request."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from checkpoints.checkpoint import CheckpointStore
from checkpoints.errors import CheckpointError, CheckpointMissing
from checkpoints.lineage import resolve
from checkpoints.manifest import MODEL_ID
from stream_app.refusal import ServiceError
from stream_app.stored_model import StoredModel


class LoadedModels:
    """The models of a store by id, the `most` of them that were asked for last. Whoever holds one goes on using it.

    For one event loop: models are loaded in a thread, one at a time, and predict on the loop's.
    """

    def __init__(self, load: Callable[[str], StoredModel], store: CheckpointStore, most: int) -> None:
        """`load` gives the model with an id, for a thread: it may take its time."""
        self._load = load
        self._store = store
        self._most = most
        self._models: OrderedDict[str, StoredModel] = OrderedDict()
        self._loading = asyncio.Lock()

    async def get(self, name: str) -> StoredModel:
        """The model with this id, or the only one that begins so; every byte of it was verified when it was loaded.

        Raises CheckpointMissing, CheckpointDamaged, ServiceError for what names no model, LearnerError or ConfigError
        for one that cannot be built.
        """
        model_id = name if MODEL_ID.fullmatch(name) else await named(self._store, name)
        model = self._models.get(model_id)
        if model is None:
            async with self._loading:
                model = self._models.get(model_id)
                if model is None:  # else it was loaded while this one waited
                    model = await asyncio.to_thread(self._load, model_id)
            self._models[model_id] = model
        self._models.move_to_end(model_id)
        while len(self._models) > self._most:
            self._models.popitem(last=False)
        return model


async def named(store: CheckpointStore, prefix: str) -> str:
    """The id that a prefix names. Raises CheckpointMissing, or ServiceError where it is no prefix or ambiguous."""
    try:
        return await asyncio.to_thread(resolve, store, prefix)
    except CheckpointMissing:
        raise
    except CheckpointError as error:
        raise ServiceError(f"id: {error}") from error
