"""The log of predictions: every answer that was served, found by id, with its label once that is known. Bounded.

Late labels are joined with what stands here: they are learnt with exactly the features that were predicted.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Literal

import msgspec

from stream_app.label_join import JsonLabel
from stream_app.local_db import LocalDb
from stream_app.logged import Answered, Logged

_BY_NUMBER = b"n"
_BY_ID = b"i"
_SENT = b"s"
_COUNTS = b"c"

_NEW_ID = re.compile(r"[0-9a-f]{8}-(\d{1,18})")
"""What `new_id` gives, with the number."""

WAITING = 128
"""Predictions without an id that may wait to be written at once, at most, and never longer than until `flush`."""

FORGOTTEN_AT_ONCE = 4
"""Entries let go of with each new one, at most: no scan ever holds up `/predict`."""


class Counts(msgspec.Struct, array_like=True):
    """What the log holds, and what became of it so far, written with every entry: opening it reads one value."""

    oldest: int = 0
    next: int = 0
    size_bytes: int = 0
    waiting: int = 0
    """Entries that a label is expected for."""
    expired: int = 0
    """Entries that were let go of without a label."""
    predicted: int = 0
    """Predictions of events with an id."""
    in_time: int = 0
    """Labels that met their prediction."""
    late: int = 0
    """Labels that came after their prediction had expired."""
    duplicate: int = 0
    """Labels of a prediction that had one."""
    orphan: int = 0
    """Labels of an id that is not known, or not any more."""


class Sent(msgspec.Struct, array_like=True):
    """How far predictions were sent elsewhere: the number of the next one, and how many were forgotten unsent."""

    next: int = 0
    lost: int = 0


class Kept(msgspec.Struct, frozen=True):
    """How much is kept: at most `count` predictions of at most `size_bytes`, none older than `age_s` seconds."""

    count: int
    age_s: float
    size_bytes: int = 1 << 40


class PredictionLog:
    """Written by one service, which owns the folder.

    Survives kill -9 from the moment `put` returns, what may wait from `flush` on; not fsynced, so a power cut may
    take the last seconds' predictions. A second prediction under an id stands beside the first, and is the one found.
    """

    def __init__(self, path: Path, kept: Kept) -> None:
        self._db = LocalDb(path, "predictions")
        self._kept = kept
        counts = self._db.get(_COUNTS)
        self.counts = Counts() if counts is None else msgspec.msgpack.decode(counts, type=Counts)
        self._written = copy(self.counts)
        self._pending: dict[bytes, bytes | None] = {}
        self._run = secrets.token_hex(4)
        self._readers: list[Reader] = []
        self._oldest_at = 0.0  # at most; to see cheaply that nothing is old

    def __len__(self) -> int:
        return self.counts.next - self.counts.oldest

    @property
    def problem(self) -> str | None:
        """Why predictions are not kept at present; None while they are."""
        return self._db.problem

    def new_id(self) -> str:
        """An id for the next prediction, where its event has none. It ends with the number, so it needs no index."""
        return f"{self._run}-{self.counts.next}"

    def put(
        self,
        event_id: str,
        payload: bytes,
        answered: Answered = Answered(),  # noqa: B008 frozen
        is_unnamed: bool = False,
    ) -> None:
        """Keep what was predicted under this id. On a full disk it is not: `problem` says so.

        `is_unnamed`: the event had none, and was given a `new_id`; it may wait to be written with others.
        """
        counts = self.counts
        number = counts.next.to_bytes(8, "big")
        logged = Logged(event_id, payload, time.time(), counts.next, answered, is_unnamed=is_unnamed)
        value = msgspec.msgpack.encode(logged)
        if not is_unnamed:
            replaced = self._current(event_id)
            counts.waiting += 1 - (replaced is not None and replaced.waits)
            counts.predicted += 1
            self._pending[_BY_ID + event_id.encode()] = number
        self._pending[_BY_NUMBER + number] = value
        counts.next += 1
        counts.size_bytes += len(value)
        self._forget(logged.seen_at)
        if not is_unnamed or counts.next - self._written.next >= WAITING:
            self.flush()

    def flush(self) -> bool:
        """Write what waits; whether that was possible. What could not be written is neither kept nor forgotten."""
        if not self._pending and self.counts == self._written:
            return True
        is_written = self._db.write({**self._pending, _COUNTS: msgspec.msgpack.encode(self.counts)})
        self._pending = {}
        for reader in self._readers:
            reader.settle(is_written)
        if is_written:
            self._written = copy(self.counts)
        else:
            labels = {name: getattr(self.counts, name) for name in ("in_time", "late", "duplicate", "orphan")}
            self.counts, self._oldest_at = msgspec.structs.replace(self._written, **labels), 0.0
        return is_written

    def get(self, event_id: str) -> Logged | None:
        """The last prediction under this id, if it is still known."""
        found = self._current(event_id)
        return found if found is not None and not self._is_old(found) else None

    def is_late(self, event_id: str) -> bool:
        """Whether it was predicted too long ago, and not yet forgotten."""
        found = self._current(event_id)
        return found is not None and self._is_old(found)

    def latest(self, limit: int) -> Iterator[Logged]:
        """The newest ones, newest first."""
        for number in range(self.counts.next - 1, max(self.counts.oldest, self.counts.next - limit) - 1, -1):
            found = self.at(number)
            if found is not None and not self._is_old(found):
                yield found

    def labelled(self, logged: Logged, label: JsonLabel) -> None:
        """Its label has come and is in the stream: a second one is a duplicate. What is forgotten by then stays so."""
        key = _BY_NUMBER + logged.number.to_bytes(8, "big")
        before = self._get(key)
        self.counts.in_time += 1
        if before is not None:
            self.counts.waiting -= logged.waits and self.is_current(logged)  # a later one under its id waits on
            logged.label, logged.labelled_at = label, time.time()
            value = self._pending[key] = msgspec.msgpack.encode(logged)
            self.counts.size_bytes += len(value) - len(before)
        self.flush()

    def count(self, what: Literal["late", "duplicate", "orphan"]) -> None:
        """Remember that a label came which is learnt nowhere."""
        setattr(self.counts, what, getattr(self.counts, what) + 1)
        self.flush()

    def reader(self, name: str, wants: Callable[[Logged], bool]) -> "Reader":
        """Where one who sends predictions elsewhere has got to; each has a name of its own."""
        reader = Reader(self, self._db, name, wants)
        self._readers.append(reader)
        return reader

    def is_current(self, logged: Logged) -> bool:
        """Whether no later prediction has taken its id."""
        return self._number(logged.id) == logged.number

    def at(self, number: int) -> Logged | None:
        """The one with this number, if it is still kept."""
        value = self._get(_BY_NUMBER + number.to_bytes(8, "big"))
        return None if value is None else msgspec.msgpack.decode(value, type=Logged)

    def close(self) -> None:
        """Write what waits, and close the store."""
        self.flush()
        self._db.close()

    def _get(self, key: bytes) -> bytes | None:
        return self._pending[key] if key in self._pending else self._db.get(key)

    def _number(self, event_id: str) -> int | None:
        """The number of the last prediction under this id; any where there was none."""
        number = self._get(_BY_ID + event_id.encode())
        if number is not None:
            return int.from_bytes(number, "big")
        given = _NEW_ID.fullmatch(event_id)
        return None if given is None else int(given[1])

    def _current(self, event_id: str) -> Logged | None:
        number = self._number(event_id)
        logged = None if number is None else self.at(number)
        return logged if logged is not None and logged.id == event_id else None

    def _is_old(self, logged: Logged) -> bool:
        return time.time() - logged.seen_at > self._kept.age_s

    def _forget(self, now: float) -> None:
        """Let go of what is too much or too old, a few at a time; written with what else waits."""
        for _ in range(FORGOTTEN_AT_ONCE):
            counts = self.counts
            if counts.oldest >= counts.next:
                return
            is_too_much = len(self) > self._kept.count or counts.size_bytes > self._kept.size_bytes
            if not is_too_much and now - self._oldest_at <= self._kept.age_s:
                return
            number = counts.oldest.to_bytes(8, "big")
            value = self._get(_BY_NUMBER + number)
            logged = None if value is None else msgspec.msgpack.decode(value, type=Logged)
            if logged is not None and not is_too_much and not self._is_old(logged):
                self._oldest_at = logged.seen_at
                return
            self._pending[_BY_NUMBER + number] = None
            counts.oldest += 1
            if logged is not None and value is not None:
                counts.size_bytes -= len(value)
                for reader in self._readers:
                    self._pending |= reader.losing(logged)
                if self.is_current(logged):
                    if not logged.is_unnamed:
                        self._pending[_BY_ID + logged.id.encode()] = None
                    counts.waiting -= logged.waits
                    counts.expired += logged.waits


class Reader:
    """Where one who sends predictions elsewhere has got to. Those that it `wants` are sent in the order predicted."""

    def __init__(self, log: PredictionLog, db: LocalDb, name: str, wants: Callable[[Logged], bool]) -> None:
        self._log = log
        self._db = db
        self._key = _SENT + name.encode()
        self._wants = wants
        self._losing = 0
        sent = db.get(self._key)
        self._sent = Sent(log.counts.oldest) if sent is None else msgspec.msgpack.decode(sent, type=Sent)

    @property
    def unsent(self) -> int:
        """Predictions that wait to be sent."""
        return max(0, self._log.counts.next - max(self._sent.next, self._log.counts.oldest))

    @property
    def lost(self) -> int:
        """Predictions that were forgotten before they were `sent`."""
        return self._sent.lost

    def to_send(self, most: int, most_bytes: int) -> tuple[int | None, list[Logged]]:
        """The next ones: what to say to `sent` once they are, and what they are. None where all are sent.

        Of the `most`, no more are read once their events have `most_bytes`.
        """
        self._log.flush()  # or a kill could take what was sent, and its number be given again
        counts = self._log.counts
        self._sent.next = max(self._sent.next, counts.oldest)
        after, wanted, size_bytes = self._sent.next, list[Logged](), 0
        while after < min(self._sent.next + most, counts.next) and size_bytes < most_bytes:
            logged = self._log.at(after)
            after += 1
            if logged is not None and self._wants(logged):
                wanted.append(logged)
                size_bytes += len(logged.payload)
        return (after if after > self._sent.next else None), wanted

    def sent(self, next_number: int) -> None:
        """All before this number are sent; kept over kill -9, unless the disk is full."""
        self._sent.next = next_number
        self._db.write({self._key: msgspec.msgpack.encode(self._sent)})

    def losing(self, logged: Logged) -> dict[bytes, bytes | None]:
        """What is to be noted where this one is forgotten now; `settle` hears whether it was."""
        if logged.number < self._sent.next or not self._wants(logged):
            return {}
        self._sent.lost += 1
        self._losing += 1
        return {self._key: msgspec.msgpack.encode(self._sent)}

    def settle(self, is_written: bool) -> None:
        """What was to be noted is, or nothing was forgotten."""
        self._sent.lost -= 0 if is_written else self._losing
        self._losing = 0
