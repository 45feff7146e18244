"""The shadows of a service: started, fed without ever waiting, watched, and started again. Knows no learner."""

import asyncio
import contextlib
import logging
import re
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from checkpoints.tags import LIVE
from stream_app.beside import Beside
from stream_app.deployments import Deployments
from stream_app.serving import Prediction
from stream_app.settings import Settings
from stream_app.shadow_frames import (
    MOST_BYTES,
    Asked,
    Begin,
    Failed,
    Figures,
    Over,
    OverFigures,
    ShadowSpec,
    Status,
    encode,
    from_shadow,
)

log = logging.getLogger(__name__)

WATCH_S = 0.25
ENDING_S = 10.0
CLOSED_S = 0.5
MOST_PAUSE_S = 60.0
SOCKET_BYTES = 4 << 20
"""Requests that wait for a shadow take at most about that; what comes then is dropped, and counted."""

ANSWER_S = 5.0


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow as `GET /shadows` tells of it."""

    name: str
    tag: str | None
    primary: str
    state: str
    """`starting`, `running`, or why it does not run."""
    offered: int
    dropped: int
    restarts: int
    status: Status | None
    over: Figures | None = None


class _Child:
    """One process and what is known of it."""

    def __init__(self, spec: ShadowSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.sock: socket.socket | None = None
        self.status: Status | None = None
        self.said = ""
        self.offered = self.dropped = self.restarts = 0
        self.heard_at = self.begun_at = 0.0
        self.pause_s = 1.0
        self.not_before = 0.0
        self.asked: dict[int, asyncio.Future[Figures]] = {}

    @property
    def state(self) -> str:
        if self.process is None:
            return self.said or "starting"
        return "running" if self.status is not None else "starting"


class Shadows:
    """Written on the event loop. Nothing here waits for a shadow: what it cannot take is dropped.

    A shadow that ends is started again after a pause that doubles; one that says nothing for `shadows.patience_s` is
    killed first.
    """

    def __init__(
        self, settings: Settings, deployments: Deployments, folder: Path, begun: Callable[[], str | None]
    ) -> None:
        """`begun` says what the live model's last rollback or takeover was."""
        self._settings = settings
        self._deployments = deployments
        self._begun = begun
        self._folder = folder / "shadows"
        self._children: dict[str, _Child] = {}
        self._by_tag: dict[str | None, list[_Child]] = {}
        self._watching = Beside("looking after shadows", self._watch)
        self._number = 0

    @property
    def problem(self) -> str | None:
        """That nobody looks after them, or that one has begun anew; None otherwise."""
        told = [(name, child.status.anew) for name, child in sorted(self._children.items()) if child.status is not None]
        anew = [f"shadow {name} {why}" for name, why in told if why is not None]
        return self._watching.problem or "; ".join(anew) or None

    def start(self) -> None:
        """Begin to watch which shadows are wanted, within a running loop."""
        self._watching.start()

    async def close(self) -> None:
        """Let all shadows end; those that learn save themselves. What does not end in a while is killed."""
        await self._watching.close()
        children, self._children, self._by_tag = list(self._children.values()), {}, {}
        processes = [child.process for child in children if child.process is not None]
        for child in children:
            self._hang_up(child)
        await asyncio.to_thread(_ended, processes)

    def offer(self, tag: str | None, payloads: Sequence[bytes], answers: Sequence[Prediction]) -> None:
        """A request and what the primary model answered. Returns at once."""
        children = self._by_tag.get(tag)
        if not children:
            return
        fraction = self._settings.shadows.fraction
        for payload, answer in zip(payloads, answers, strict=True):
            if fraction < 1.0 and zlib.crc32(payload) >= fraction * 2**32:
                continue
            data = encode(Asked(payload, answer.prediction))
            for child in children:
                child.offered += 1
                if not _sent(child.sock, data):
                    child.dropped += 1

    async def report(self, over: int | None = None) -> list[ShadowReport]:
        """All of them by name; with `over`, how they did over the last so many labelled events that they have seen."""
        return self.reports(await self._over(over) if over is not None else {})

    def reports(self, over: Mapping[str, Figures] = MappingProxyType({})) -> list[ShadowReport]:
        """The same at once, with what they said last of themselves."""
        return [
            ShadowReport(
                name=name,
                tag=child.spec.tag,
                primary=child.spec.primary,
                state=child.state,
                offered=child.offered,
                dropped=child.dropped,
                restarts=child.restarts,
                status=child.status,
                over=over.get(name),
            )
            for name, child in sorted(self._children.items())
        ]

    async def _over(self, examples: int) -> dict[str, Figures]:
        loop = asyncio.get_running_loop()
        waiting: dict[str, asyncio.Future[Figures]] = {}
        for name, child in self._children.items():
            self._number += 1
            if _sent(child.sock, encode(Over(self._number, examples))):
                waiting[name] = child.asked[self._number] = loop.create_future()
        if waiting:
            await asyncio.wait(waiting.values(), timeout=ANSWER_S)
        return {name: future.result() for name, future in waiting.items() if future.done() and not future.cancelled()}

    async def _watch(self) -> None:
        while True:
            wanted = {spec.name: spec for spec in self._wanted()}
            for name in [name for name, child in self._children.items() if wanted.get(name) != child.spec]:
                child = self._children.pop(name)
                process = child.process
                self._hang_up(child)
                if process is not None:
                    await asyncio.to_thread(_ended, [process])
            for name, spec in wanted.items():
                child = self._children.setdefault(name, _Child(spec))
                self._look_after(child)
            self._by_tag = {}
            for child in self._children.values():
                self._by_tag.setdefault(child.spec.tag, []).append(child)
            await asyncio.sleep(WATCH_S)

    def _wanted(self) -> list[ShadowSpec]:
        begun = self._begun()
        found = [
            ShadowSpec(name=name, primary=LIVE, kind=one.kind, args=one.args, begin=one.begin, begun=begun)
            for name, one in self._settings.shadows.learners.items()
        ]
        for served in self._deployments.all():
            for model in served.deployment.shadows:
                if model != LIVE:
                    name = f"{served.tag}-{model.removeprefix('sha256.')[:12]}"
                    # What follows every checkpoint is as good as live, and would begin anew with each of them.
                    primary = served.deployment.primary if served.deployment.rolling is None else LIVE
                    found.append(ShadowSpec(name, primary, served.tag, model, begun=begun if primary == LIVE else None))
        return found

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.not_before:
                self._begin(child)
            return
        code = child.process.poll()
        is_silent = now > max(child.heard_at, child.begun_at) + self._settings.shadows.patience_s
        if code is None and not is_silent:
            if now > child.begun_at + MOST_PAUSE_S:
                child.pause_s = 1.0
            return
        if code is None:
            child.process.kill()
            child.said = f"killed: it said nothing for {self._settings.shadows.patience_s:g} s"
        else:
            child.said = child.said or f"ended with exit code {code}"
        log.warning("shadow %s: %s; started again in %g s", child.spec.name, child.said, child.pause_s)
        child.process.wait()
        self._hang_up(child)
        child.status = None
        child.restarts += 1
        child.not_before, child.pause_s = now + child.pause_s, min(child.pause_s * 2, MOST_PAUSE_S)

    def _begin(self, child: _Child) -> None:
        folder = self._folder / re.sub(r"[^\w.-]", "_", child.spec.name)
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            ours.setblocking(False)
            command = [sys.executable, "-m", "stream_app.shadow", str(theirs.fileno())]
            child.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        child.sock, child.begun_at, child.said, child.status = ours, time.monotonic(), "", None
        ours.send(encode(Begin.of(child.spec, self._settings, str(folder))))
        asyncio.get_running_loop().add_reader(ours, lambda: self._hear(child, ours))
        log.info("shadow %s begins", child.spec.name)

    def _hear(self, child: _Child, sock: socket.socket) -> None:
        if child.sock is not sock:
            return  # what one that has ended still said
        try:
            data = sock.recv(MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(sock)
            return
        child.heard_at = time.monotonic()
        message = from_shadow.decode(data)
        if isinstance(message, Status):
            child.status = message
        elif isinstance(message, OverFigures):
            future = child.asked.pop(message.number, None)
            if future is not None and not future.done():
                future.set_result(message.figures)
        elif isinstance(message, Failed):
            child.said = message.said

    def _hang_up(self, child: _Child) -> None:
        """The shadow hears the end of its socket."""
        if child.sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(child.sock)
            with contextlib.suppress(OSError):
                child.sock.shutdown(socket.SHUT_RDWR)
            # uvloop lets go of a descriptor in its next pass: closed now, a request could get the same number before.
            loop.call_later(CLOSED_S, child.sock.close)
        child.sock = child.process = None
        for future in child.asked.values():
            future.cancel()
        child.asked.clear()


def _sent(sock: socket.socket | None, data: bytes) -> bool:
    if sock is None or len(data) > MOST_BYTES:  # what is longer would be cut at the other end
        return False
    try:
        sock.send(data)
    except OSError:  # full, too large, or nobody there any more
        return False
    return True


def _ended(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + ENDING_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
