"""Dead letters: events that could not be learnt from, kept byte for byte with their place and the reason."""

import base64
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from stream_app.local_db import LocalDb

MOST_REASONS = 20
"""Kinds of reasons that are counted apart; those that come later are `other`."""

_FIELD = re.compile(r"(?:\[\d+\]\.)?([A-Za-z_][\w.^-]{0,39}): ")


class DeadLetterBox(Protocol):
    """Where events go that could not be learnt from."""

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        """Keep the event's bytes, its place and the reason."""
        ...


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """One event that was not learnt."""

    partition: int
    offset: int
    reason: str
    payload: bytes
    seen_at: float
    """When it was met first, Unix seconds."""

    def shown(self) -> dict[str, object]:
        """As JSON: the payload as text where it is UTF-8, always as base64."""
        try:
            text = self.payload.decode()
        except UnicodeDecodeError:
            text = None
        return {
            "partition": self.partition,
            "offset": self.offset,
            "reason": self.reason,
            "seen_at": self.seen_at,
            "payload": text,
            "payload_base64": base64.b64encode(self.payload).decode(),
        }


class DeadLetters:
    """Keeps the latest `keep` dead letters by partition and offset; meeting one again changes nothing.

    Not fsynced one by one: the event itself is still in the log, and a replay meets it again.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self._db = LocalDb(path, "dead letters")
        self._keep = keep
        self.by_reason: Counter[str] = Counter()
        """How many were met since the start, by the kind of reason; at most MOST_REASONS and `other`."""
        self._count = sum(1 for _ in self._db.keys())  # noqa: SIM118 it is no dict

    def __len__(self) -> int:
        return self._count

    @property
    def problem(self) -> str | None:
        """Why dead letters are not kept at present; None while they are."""
        return self._db.problem

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        """Keep an event. A full disk does not stop the stream: the event stays in the log and in the counts."""
        kind = kind_of(reason)
        self.by_reason[kind if kind in self.by_reason or len(self.by_reason) < MOST_REASONS else "other"] += 1
        key = partition.to_bytes(2, "big") + offset.to_bytes(8, "big")
        if self._db.get(key) is not None:
            return
        letter = DeadLetter(partition, offset, printable(reason), payload, time.time())
        if not self._db.write({key: msgspec.msgpack.encode(letter)}):
            return
        self._count += 1
        if self._count > self._keep + self._keep // 10:
            self._forget_oldest()

    def latest(self, limit: int = 100) -> Iterator[DeadLetter]:
        """From the last place in the log backwards."""
        for value in islice(self._db.latest(), limit):
            yield msgspec.msgpack.decode(value, type=DeadLetter)

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    def _forget_oldest(self) -> None:
        surplus = self._count - self._keep
        oldest = sorted(self._db.keys(), key=lambda key: key[2:])[:surplus]
        if self._db.write(dict.fromkeys(oldest)):
            self._count = self._keep


def printable(reason: str) -> str:
    """The reason as text that can be written down: bytes that are no UTF-8, quoted in it, become escapes."""
    return reason.encode(errors="backslashreplace").decode()


def kind_of(reason: str) -> str:
    """The field that a reason is about, or what else it begins with; to be counted by.

    >>> kind_of("[3].label: 'YES' is no number"), kind_of("not JSON: unexpected end"), kind_of("what?")
    ('label', 'not_json', 'other')
    """
    if reason.startswith("not JSON"):
        return "not_json"
    field = _FIELD.match(reason)
    return field[1] if field is not None else "other"
