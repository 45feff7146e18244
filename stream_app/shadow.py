"""A shadow: a process of its own that reads the log and hears the requests, and answers nobody but its service.

`python -m stream_app.shadow FD`, started by stream_app.shadows. Whatever happens here, the service goes on.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from contextlib import aclosing
from pathlib import Path

import msgspec
import numpy as np

from checkpoints.durable import make_folder, remove_all
from formats.example import FormatError
from learners.learner import Answer, Learner, LearnerError
from stream_app import wiring
from stream_app.comparison import Comparison
from stream_app.foreseen import FORESEEN
from stream_app.keeping import Keeper
from stream_app.local_db import LocalDb
from stream_app.money import money_of
from stream_app.progressive.confidence import LOSS_NAMES
from stream_app.recent import Recent
from stream_app.serving import decoded
from stream_app.settings import Settings
from stream_app.shadow_frames import (
    KEPT,
    MOST_BYTES,
    Alive,
    Asked,
    Begin,
    Failed,
    Figures,
    Over,
    OverFigures,
    Status,
    encode,
    to_shadow,
)
from stream_app.shadow_lanes import BATCH, SAVED, ShadowLanes
from stream_app.sources.source import Records

TOLD_S = 0.5

log = logging.getLogger(__name__)


class Shadow:
    """Two lanes, the primary model and the shadow, over the same records; and the shadow's answers to requests."""

    def __init__(self, begin: Begin, sock: socket.socket) -> None:
        self._sock = sock
        self._spec = spec = begin.spec
        self._settings = msgspec.json.decode(begin.settings, type=Settings)
        self._folder = Path(begin.folder)
        self._keeper: Keeper | None = None
        metric = LOSS_NAMES[self._settings.model.task]
        self._comparison = Comparison(spec, metric, money_of(self._settings))
        self._status = Status(figures=Figures(metric=metric), model=spec.model or f"{spec.kind}: {spec.args}")
        self._differences = 0.0
        self._told = ""
        self._latencies = Recent()
        self._answers = LocalDb(self._folder / "answers", "answers of a shadow")
        self._next = int.from_bytes(self._answers.last_key() or b"", "big") + 1
        self._told_at = self._saved_at = time.monotonic()

    async def run(self) -> None:
        """Until the service lets go of the socket."""
        await self._begin()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._sock, lambda: self._hear(ended))
        reading = asyncio.create_task(self._read())
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(self._sock)
        if reading.done():
            await reading
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        if self.shadow.trainer.is_whole and self.primary.trainer.is_whole:
            self._save("the service ends")
        if self._keeper is not None:
            self._keeper.close()
        self._answers.close()
        await self._source.close()

    async def _begin(self) -> None:
        view = self._folder / "view"
        remove_all(view)  # of one that was killed
        make_folder(view)
        self._source = wiring.build_view(self._settings, view)
        lanes = ShadowLanes(self._spec, self._settings, self._source, self._alive)
        if self._spec.model is None:
            self._look_whether_it_is_lost(lanes)
        is_restored = self._comparison.restore(self._compared)
        if self._spec.model is None:
            self.shadow, self.primary, self._keeper = await lanes.learning(self._learnt)
        else:
            compared = self._comparison.position if is_restored else {}
            self.shadow, self.primary = await lanes.stored(self._spec.model, compared)
        if not is_restored:
            self._comparison.position = dict(self.shadow.trainer.position)
            self._save("it begins")

    def _look_whether_it_is_lost(self, lanes: ShadowLanes) -> None:
        """Begin anew, comparing too, where retention has removed records that come next for what was learnt."""
        lost = lanes.lost(self._learnt)
        if not lost:
            return
        said = ", ".join(f"{part}:{offsets.start}-{offsets.stop - 1}" for part, offsets in lost.items())
        aside = self._folder / "checkpoints-before"
        why = f"begins anew, as does comparing: retention removed {said} before it learnt them, what it had learnt lies"
        self._status.anew = f"{why} in {aside}"
        log.error("shadow %s: %s", self._spec.name, self._status.anew)
        self._compared.unlink(missing_ok=True)  # first: what was compared is of the model that goes
        remove_all(aside)
        self._learnt.rename(aside)

    async def _read(self) -> None:
        position = dict(self.shadow.trainer.position)
        async with aclosing(self._source.read(position, [], BATCH)) as batches:
            async for records in batches:
                if records.payloads:
                    self._learn(records)
                self._tell()
                await asyncio.sleep(0)

    def _learn(self, records: Records) -> None:
        self._comparison.learn((self.shadow, self.primary), records)
        if self._keeper is not None:
            why = self._keeper.due()
        else:
            why = "from time to time" if time.monotonic() > self._saved_at + SAVED.every_s else None
        if why is not None:
            self._save(why)

    def _save(self, why: str) -> None:
        """What was compared first: what is learnt again after a kill in between is counted already."""
        self._saved_at = time.monotonic()
        self._comparison.save(self._compared)
        if self._keeper is not None:
            self._keeper.save(why)

    @property
    def _learnt(self) -> Path:
        return self._folder / "checkpoints"

    @property
    def _compared(self) -> Path:
        return self._folder / "compared"

    def _hear(self, ended: asyncio.Event) -> None:
        """At most some messages at once, so that learning goes on too."""
        for _ in range(64):
            try:
                data = self._sock.recv(MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                ended.set()
                return
            message = to_shadow.decode(data)
            if isinstance(message, Asked):
                self._answer(message)
            elif isinstance(message, Over):
                self._send(encode(OverFigures(message.number, self._comparison.over(message.examples))))

    def _answer(self, asked: Asked) -> None:
        status, began = self._status, time.perf_counter()
        status.requests += 1
        try:
            parts = self.shadow.trainer.parts
            answer = parts.learner.predict(decoded(parts.format, [asked.payload])[0])
        except (FormatError, LearnerError) as error:
            status.failed += 1
            log.warning("shadow %s: %s: %s", self._spec.name, type(error).__name__, error)
            return
        except Exception as error:
            status.failed += 1
            if repr(error) != self._told:  # once, or every request would print its traceback
                log.exception("shadow %s: %s: %s", self._spec.name, type(error).__name__, error)
            self._told = repr(error)
            return
        self._latencies.add(time.perf_counter() - began)
        self._compare(answer, asked.answer)
        self._record(asked, answer)

    def _compare(self, answer: Answer, other: Answer) -> None:
        if isinstance(answer, int | float) and isinstance(other, int | float):
            self._differences += abs(answer - other)
            one = _class(self.shadow.trainer.parts.learner, answer, self._settings.model.task)
            two = _class(self.primary.trainer.parts.learner, other, self._settings.model.task)
            self._status.disagreements += one != two
        else:
            self._status.disagreements += answer != other

    def _record(self, asked: Asked, answer: Answer) -> None:
        value = msgspec.msgpack.encode((time.time(), asked.payload, asked.answer, answer))
        changes: dict[bytes, bytes | None] = {self._next.to_bytes(8, "big"): value}
        if self._next > KEPT:
            changes[(self._next - KEPT).to_bytes(8, "big")] = None
        self._answers.write(changes)
        self._next += 1

    def _tell(self) -> None:
        if time.monotonic() < self._told_at + TOLD_S:
            return
        self._told_at, status = time.monotonic(), self._status
        answered, compared = status.requests - status.failed, self._comparison
        status.figures, status.records, status.unpaired = compared.figures(), compared.records, compared.unpaired
        status.position = dict(self.shadow.trainer.position)
        status.mean_difference = self._differences / answered if answered else None
        status.lag = sum(max(0, end - status.position.get(part, 0)) for part, end in self._source.end().items())
        if self._latencies.count:
            latency_s = self._latencies.quantiles()
            status.p50_ms, status.p99_ms = (1000.0 * (latency_s[share] or 0.0) for share in ("p50", "p99"))
        self._send(encode(status))

    def _alive(self) -> None:
        if time.monotonic() >= self._told_at + TOLD_S:
            self._told_at = time.monotonic()
            self._send(encode(Alive()))

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the service is busy, or gone, which the next message tells
            self._sock.send(data)


def _class(learner: Learner, answer: float, task: str) -> object:
    """What is decided by an answer: the side of 0.5, the class, or the number itself."""
    if task != "binary":
        return answer
    return bool(learner.probabilities(np.array([answer], np.float64))[0] >= 0.5)


def main() -> None:
    """Exit code 1, and a word to the service, where the shadow cannot go on."""
    _die_with_parent()
    os.nice(10)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.settimeout(30.0)
    begin = to_shadow.decode(sock.recv(MOST_BYTES))
    if not isinstance(begin, Begin):
        sys.exit("the first message says what the shadow is")
    sock.setblocking(False)
    try:
        asyncio.run(Shadow(begin, sock).run())
    except Exception as error:  # noqa: BLE001 the outermost loop of this process
        told = log.error if isinstance(error, FORESEEN) else log.exception
        told("shadow %s: %s: %s", begin.spec.name, type(error).__name__, error)
        with contextlib.suppress(OSError):
            sock.send(encode(Failed(f"{type(error).__name__}: {error}"[:2000])))
        sys.exit(1)


def _die_with_parent() -> None:
    """Linux: when the service is killed, its shadows are. Elsewhere, and if it died already, the socket tells."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main()
