"""The bytes of a river model: equal models give equal bytes. Knows pickles, and no learner.

They are made here, verified by the checkpoint store, and loaded from nowhere else.
"""

import io
import pickle
import random
from collections.abc import Hashable
from typing import Any


def dumped(model: object) -> bytes:
    """Its state, whatever the hash seed of the process."""
    file = io.BytesIO()
    _Pickler(file).dump(model)
    return file.getvalue()


def loaded(state: bytes) -> Any:
    """The model that `dumped` gave. Raises whatever a pickle may raise."""
    return _Unpickler(io.BytesIO(state)).load()


class _Pickler(pickle.Pickler):
    """Equal models give equal bytes: equal strings are one object, and sets are in order, whatever the hash seed."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._texts: dict[str, str] = {}
        self._sets: dict[int, tuple[str, list[Hashable]]] = {}

    def persistent_id(self, obj: Any) -> object:
        if obj.__class__ is str:
            return self._texts.setdefault(obj, obj)
        if obj.__class__ is not set and obj.__class__ is not frozenset:
            return None
        if id(obj) not in self._sets:
            items = sorted(obj, key=lambda item: (type(item).__name__, repr(item)))
            self._sets[id(obj)] = obj.__class__.__name__, items
        return self._sets[id(obj)]

    def reducer_override(self, obj: Any) -> Any:
        # Every distribution brings a generator of its own, for `sample()` alone, that begins anywhere without a seed.
        if type(obj).__module__.startswith("river.proba.") and isinstance(getattr(obj, "_rng", None), random.Random):
            obj._rng.seed(obj.seed or 0)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Takes what `_Pickler` gives."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._sets: dict[int, tuple[object, set[Hashable] | frozenset[Hashable]]] = {}

    def persistent_load(self, pid: Any) -> object:
        if isinstance(pid, str):
            return pid
        if id(pid) not in self._sets:
            kind, items = pid
            self._sets[id(pid)] = pid, set(items) if kind == "set" else frozenset(items)
        return self._sets[id(pid)][1]
