"""A shadow: a process of its own that reads the log and hears the requests, and answers nobody but its service.

`python -m stream_app.shadow FD`, started by stream_app.shadows. Whatever happens here, the service goes on.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections import deque
from contextlib import aclosing
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from checkpoints.checkpoint import Checkpoint
from checkpoints.directory import DirectoryStore
from checkpoints.tags import LIVE
from learners.learner import Answer, Learner
from stream_app import wiring
from stream_app.config import replaced
from stream_app.keeping import Keeper
from stream_app.lane import Lane, frozen_lane, lane_of, new_lane, paired
from stream_app.local_db import LocalDb
from stream_app.moment import Moment
from stream_app.money import money_of
from stream_app.progressive.confidence import LOSS_NAMES, Losses
from stream_app.progressive.rows import Matrix, number
from stream_app.recent import Recent
from stream_app.relearning import Relearning
from stream_app.serving import decoded
from stream_app.settings import CheckpointSettings, Settings
from stream_app.shadow_frames import (
    KEPT,
    MOST_BYTES,
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
from stream_app.sources.source import Position, Records
from stream_app.state_folder import JOURNAL
from stream_app.timeline import Timeline

BATCH = 128
TOLD_S = 0.5
SAVED = CheckpointSettings(every_events=5_000, every_s=10.0, keep=3)
"""When a shadow that learns saves itself, in its own folder."""

Decisions = NDArray[np.int64]
"""Shadow and primary, by what came true and what was predicted: shape (2, 2, 2)."""


class Shadow:
    """Two lanes, the primary model and the shadow, over the same records; and the shadow's answers to requests."""

    def __init__(self, begin: Begin, sock: socket.socket) -> None:
        self._sock = sock
        self._spec = begin.spec
        self._settings = msgspec.json.decode(begin.settings, type=Settings)
        self._folder = Path(begin.folder)
        self._store = wiring.build_store(self._settings)
        self._head = self._loaded(self._store.head())
        self._source = wiring.build_view(self._settings)
        self._keeper: Keeper | None = None
        if begin.spec.model is None:
            self.shadow = self._own_lane()
        else:
            self.shadow = self._frozen(begin.spec.model, self._head.manifest.position if self._head is not None else {})
        self.primary = self._primary_lane(dict(self.shadow.trainer.position))
        model = begin.spec.model or f"{begin.spec.kind}: {begin.spec.args}"
        self._status = Status(figures=Figures(metric=LOSS_NAMES[self._settings.model.task]), model=model)
        self._money = money_of(self._settings)
        self._losses = Losses(2)
        self._decisions: Decisions = np.zeros((2, 2, 2), np.int64)
        self._recent: deque[tuple[float, ...]] = deque(maxlen=KEPT)
        self._differences = 0.0
        self._latencies = Recent()
        self._answers = LocalDb(self._folder / "answers", "answers of a shadow")
        self._next = int.from_bytes(self._answers.last_key() or b"", "big") + 1
        self._told_at = 0.0

    async def run(self) -> None:
        """Until the service lets go of the socket."""
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
        if self._keeper is not None and self.shadow.trainer.is_whole:
            self._keeper.save("the service ends")
            self._keeper.close()
        self._answers.close()
        await self._source.close()

    async def _read(self) -> None:
        position = dict(self.shadow.trainer.position)
        async with aclosing(self._source.read(position, [], BATCH)) as batches:
            async for records in batches:
                if records.payloads:
                    self._learn(records)
                self._tell()
                await asyncio.sleep(0)

    def _learn(self, records: Records) -> None:
        found = paired((self.shadow, self.primary), records)
        if found is not None:
            self._losses.add(found.losses)
            self._decisions += _counted(found.decisions)
            self._recent.extend(zip(*found.losses.tolist(), *found.decisions.tolist(), strict=True))
        else:
            self._status.unpaired += len(records.payloads)
        self._status.records += len(records.payloads)
        if self._keeper is not None and (why := self._keeper.due()) is not None:
            self._keeper.save(why)

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
                self._send(encode(OverFigures(message.number, self._over(message.examples))))

    def _answer(self, asked: Asked) -> None:
        status, began = self._status, time.perf_counter()
        status.requests += 1
        try:
            parts = self.shadow.trainer.parts
            answer = parts.learner.predict(decoded(parts.format, [asked.payload])[0])
        except Exception as error:  # noqa: BLE001 whatever a shadow's learner raises is counted, and nothing else
            status.failed += 1
            print(f"shadow {self._spec.name}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
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
        answered = status.requests - status.failed
        status.figures = self._figures(self._losses, self._decisions)
        status.position = dict(self.shadow.trainer.position)
        status.mean_difference = self._differences / answered if answered else None
        status.lag = sum(max(0, end - status.position.get(part, 0)) for part, end in self._source.end().items())
        if self._latencies.count:
            latency_s = self._latencies.quantiles()
            status.p50_ms, status.p99_ms = (1000.0 * (latency_s[share] or 0.0) for share in ("p50", "p99"))
        self._send(encode(status))

    def _over(self, examples: int) -> Figures:
        rows = np.array(list(self._recent)[-examples:]).reshape(-1, 4).T
        losses = Losses(2)
        losses.add(rows[:2])
        return self._figures(losses, _counted(rows[2:]))

    def _figures(self, losses: Losses, decisions: Decisions) -> Figures:
        figures, money = _figures(self._status.figures.metric, losses), self._money
        if money is None or not decisions.any():
            return figures
        value, primary_value = (money.of(counts) for counts in decisions)
        return msgspec.structs.replace(figures, value=value, primary_value=primary_value)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the service is busy, or gone, which the next message tells
            self._sock.send(data)

    def _loaded(self, model_id: str | None) -> Checkpoint | None:
        return self._store.load(model_id) if model_id is not None else None

    def _own_lane(self) -> Lane:
        """A learner of its own: where it was when it was last saved, or empty."""
        spec = self._spec
        settings = replaced(self._settings, "learner", kind=spec.kind, args=spec.args)
        store = DirectoryStore(self._folder / "checkpoints")
        head = store.head()
        lane = new_lane(spec.name, settings)
        if head is not None:
            lane.trainer.restore(store.load(head))
        elif spec.begin == LIVE and self._head is not None:
            lane.trainer.stand_at(self._head.manifest.position)
            lane.trainer.parts.dedupe.restore(self._head.blobs["dedupe"])
        self._keeper = Keeper(lane.trainer, store, SAVED, head)
        return lane

    def _frozen(self, model_id: str, position: Position) -> Lane:
        dedupe = self._head.blobs["dedupe"] if self._head is not None else None
        return frozen_lane(model_id, self._settings, self._store.load(model_id), position, dedupe)

    def _primary_lane(self, position: Position) -> Lane:
        """The primary model where the shadow begins; the live one is learnt again up to there."""
        if self._spec.primary != LIVE:
            return self._frozen(self._spec.primary, position)
        if self._head is not None and self._head.manifest.position == position:
            return lane_of(LIVE, self._settings, self._head)
        return asyncio.run(self._past_lane(position))

    async def _past_lane(self, position: Position) -> Lane:
        timeline = Timeline(self._store, Path(self._settings.state.dir, JOURNAL))
        base = timeline.at_or_before(position)
        again = Relearning(self._settings, self._loaded(base), self._source)
        await again.to(Moment(position), timeline.order_after(base, self._source))
        return Lane(LIVE, again.trainer, again.settings)


def _figures(metric: str, losses: Losses) -> Figures:
    if not losses.examples:
        return Figures(metric=metric)
    behind = losses.difference(0, 1)
    return Figures(
        metric=metric,
        examples=losses.examples,
        loss=losses.mean(0).mean,
        primary_loss=losses.mean(1).mean,
        behind=number(behind.mean),
        low=number(behind.low),
        high=number(behind.high),
    )


def _counted(decisions: Matrix) -> Decisions:
    """Rows of decisions, as Paired has them, by what came true and what was predicted; nan is none."""
    is_known = ~np.isnan(decisions).any(axis=0)
    return np.stack([np.bincount(row.astype(np.intp), minlength=4) for row in decisions[:, is_known]]).reshape(2, 2, 2)


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
        print(f"shadow {begin.spec.name}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        with contextlib.suppress(OSError):
            sock.send(encode(Failed(f"{type(error).__name__}: {error}"[:2000])))
        sys.exit(1)


def _die_with_parent() -> None:
    """Linux: when the service is killed, its shadows are. Elsewhere, and if it died already, the socket tells."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main()
