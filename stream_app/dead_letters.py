"""Dead letters: events that could not be learnt from, kept byte for byte with their place and the reason."""

import base64
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rocksdict import Options, Rdict

from stream_app.sources.source import SourceError

log = logging.getLogger(__name__)


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
        path.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_keep_log_file_num(2)
        try:
            self._db = Rdict(str(path), options)
        except Exception as error:
            raise SourceError(f"dead letters at {path}: {error}") from error
        self._keep = keep
        self._count = sum(1 for _ in self._db.keys())  # noqa: SIM118 an Rdict is no iterable

    def __len__(self) -> int:
        return self._count

    def add(self, partition: int, offset: int, reason: str, payload: bytes) -> None:
        """Keep an event. A full disk does not stop the stream: the event stays in the log and in the counts."""
        key = partition.to_bytes(2, "big") + offset.to_bytes(8, "big")
        if key in self._db:
            return
        letter = DeadLetter(partition, offset, reason, payload, time.time())
        try:
            self._db[key] = msgspec.msgpack.encode(letter)
        except Exception as error:  # noqa: BLE001 rocksdict raises nothing more exact
            log.warning("dead letter %d:%d is not kept: %s", partition, offset, error)
            return
        self._count += 1
        if self._count > self._keep + self._keep // 10:
            self._forget_oldest()

    def latest(self, limit: int = 100) -> Iterator[DeadLetter]:
        """From the last place in the log backwards."""
        for number, value in enumerate(self._db.values(backwards=True)):
            if number >= limit:
                return
            yield msgspec.msgpack.decode(value, type=DeadLetter)

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    def _forget_oldest(self) -> None:
        surplus = self._count - self._keep
        keys = [key for key in self._db.keys() if isinstance(key, bytes)]  # noqa: SIM118
        for key in sorted(keys, key=lambda key: key[2:])[:surplus]:
            del self._db[key]
        self._count = self._keep
