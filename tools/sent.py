"""What `weir produce --resume` has sent already: a small file, durable before each batch goes out."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from checkpoints.durable import make_folder, sync_folder, write_new
from stream_app.settings import ConfigError
from stream_app.sources.embedded_log import EmbeddedLog
from stream_app.sources.source import Position


class Sending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent, and where to: a file of the journal belongs to one of these."""

    to: str
    files: Sequence[str]
    first: int
    limit: int | None
    is_flipped: bool


class Sent(msgspec.Struct, forbid_unknown_fields=True):
    """How far it came. `pending` events were being appended, when the log ended at `end`."""

    sending: Sending
    events: int = 0
    sha256: str = hashlib.sha256().hexdigest()
    """Over the events sent, each followed by a line feed."""
    pending: int = 0
    end: Position | None = None


class SentJournal:
    """Written by the one process that sends. Raises ConfigError where the events are not those that were sent."""

    def __init__(self, folder: Path, sending: Sending) -> None:
        name = hashlib.sha256(msgspec.json.encode(sending)).hexdigest()[:16]
        self._path = folder / f"{name}.json"
        self._sha256 = hashlib.sha256()
        try:
            self.sent = msgspec.json.decode(self._path.read_bytes(), type=Sent)
        except FileNotFoundError:
            self.sent = Sent(sending)
        except msgspec.DecodeError as error:
            raise ConfigError(f"--resume: {self._path} is damaged: {error}; remove it to send everything") from error

    def after_sent(self, payloads: Iterator[bytes]) -> list[bytes]:
        """Pass over what was sent; returns the batch that was pending, of which nothing is known."""
        left = self.sent.events
        while left and (batch := list(islice(payloads, min(left, 1024)))):
            left -= len(batch)
            self._hash(batch)
        if left or self._sha256.copy().hexdigest() != self.sent.sha256:
            raise ConfigError(
                f"--resume: the first {self.sent.events} events of {', '.join(self.sent.sending.files)} are not those "
                f"that were sent; put the files back, or remove {self._path} to send everything"
            )
        return list(islice(payloads, self.sent.pending))

    def intend(self, payloads: Sequence[bytes], end: Position | None) -> None:
        """These are appended next. Durable when it returns."""
        self.sent.pending, self.sent.end = len(payloads), end
        self._write()

    def done(self, payloads: Sequence[bytes]) -> None:
        """They were appended. Written down with the next intent, as the end of the log tells it too."""
        self._hash(payloads)
        self.sent.events += len(payloads)
        self.sent.pending, self.sent.end, self.sent.sha256 = 0, None, self._sha256.copy().hexdigest()

    def finish(self) -> None:
        """Everything was sent, and nothing is pending."""
        self._write()

    def _hash(self, payloads: Sequence[bytes]) -> None:
        self._sha256.update(b"\n".join([*payloads, b""]))

    def _write(self) -> None:
        make_folder(self._path.parent)
        aside = self._path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        write_new(aside, msgspec.json.encode(self.sent))
        aside.replace(self._path)
        sync_folder(self._path.parent)


async def was_appended(log: EmbeddedLog, end: Position, payloads: Sequence[bytes]) -> bool:
    """Whether these records stand in one partition from `end` on, where nobody else could append before they did."""
    now = log.end()
    for partition, offset in end.items():
        if now[partition] - offset < len(payloads):
            continue
        found: list[bytes] = []
        async for records in log.read({**now, partition: offset}):
            found += records.payloads
            if len(found) >= len(payloads):
                break
        if found[: len(payloads)] == payloads:
            return True
    return False
