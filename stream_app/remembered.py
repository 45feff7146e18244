"""Features remembered by id at prediction time, so that a label that comes later is learnt with exactly those."""

import itertools
import time
from pathlib import Path

import msgspec

from stream_app.local_db import LocalDb

_EVENT = b"e"
_AGE = b"a"


class Remembered(msgspec.Struct, array_like=True):
    """What was predicted under an id."""

    payload: bytes
    seen_at: float
    number: int
    is_labelled: bool = False


class RememberedEvents:
    """The latest events predicted, by id: at most `keep` of them, none older than `keep_s` seconds.

    Survives kill -9 from the moment `put` returns; not fsynced, so a power cut may take the last seconds' predictions.
    One service owns the folder. A second prediction under an id replaces the first.
    """

    def __init__(self, path: Path, keep: int, keep_s: float) -> None:
        self._db = LocalDb(path, "remembered predictions")
        self._keep = keep
        self._keep_s = keep_s
        ages = list(itertools.takewhile(lambda key: key.startswith(_AGE), self._db.keys(_AGE)))
        self._count = len(ages)
        self._oldest = int.from_bytes(ages[0][1:], "big") if ages else 0
        self._next = int.from_bytes(ages[-1][1:], "big") + 1 if ages else 0

    def __len__(self) -> int:
        return self._count

    @property
    def problem(self) -> str | None:
        """Why predictions are not remembered at present; None while they are."""
        return self._db.problem

    def put(self, event_id: str, payload: bytes) -> None:
        """Remember the event that was predicted under this id. On a full disk it is not: `problem` says so."""
        key, event = event_id.encode(), Remembered(payload, time.time(), self._next)
        age = _AGE + event.number.to_bytes(8, "big")
        if self._db.write({age: key, _EVENT + key: msgspec.msgpack.encode(event)}):
            self._next += 1
            self._count += 1
            self._forget()

    def get(self, event_id: str) -> Remembered | None:
        """What was predicted under this id, if it is still known."""
        value = self._db.get(_EVENT + event_id.encode())
        if value is None:
            return None
        found = msgspec.msgpack.decode(value, type=Remembered)
        return found if time.time() - found.seen_at <= self._keep_s else None

    def labelled(self, event_id: str, event: Remembered) -> None:
        """Its label has come and is in the log: a second one is a duplicate."""
        event.is_labelled = True
        self._db.write({_EVENT + event_id.encode(): msgspec.msgpack.encode(event)})

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    def _forget(self) -> None:
        """Let go of what is too much or too old, a few at a time."""
        for _ in range(4):
            key = _AGE + self._oldest.to_bytes(8, "big")
            event_id = self._db.get(key) if self._oldest < self._next else None
            if event_id is None:
                self._oldest = min(self._oldest + 1, self._next)
                continue
            value = self._db.get(_EVENT + event_id)
            event = msgspec.msgpack.decode(value, type=Remembered) if value is not None else None
            is_current = event is not None and event.number == self._oldest
            is_old = event is not None and time.time() - event.seen_at > self._keep_s
            if is_current and self._count <= self._keep and not is_old:
                return
            if not self._db.write({key: None, **({_EVENT + event_id: None} if is_current else {})}):
                return
            self._oldest += 1
            self._count -= 1
