"""`weir serve` as users run it: a process of its own, real files, real HTTP; started, killed and stopped by tests."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from checkpoints.manifest import Manifest, decode
from stream_app.sources.embedded_log import EmbeddedLog

WEIR = str(Path(sys.executable).with_name("weir"))
DEADLINE_S = 240.0
GOODBYE_S = 30.0
"""Longer than one that answers no more takes to end, which may wait for a broker."""

STARTED = re.compile(r"^weir: .+ at http://127\.0\.0\.1:(\d+),", re.MULTILINE)
T = TypeVar("T")
DECIDING = ("learner", "progressive", "dedupe", "counts", "names", "sample")
"""The blobs that must not depend on how often a service was killed."""


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Ran(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Weir:
    """A folder with settings, log, checkpoints and state, and the service that runs on it, if one does."""

    program: Sequence[str] = (WEIR,)
    verb = "serve"

    def __init__(self, folder: Path, **settings: Mapping[str, object]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.toml = folder / "weir.toml"
        self.stderr = folder / "stderr"
        self.log, self.state = folder / "log", folder / "state"
        self.checkpoints = Path(str(settings.get("checkpoints", {}).get("url", folder / "checkpoints")))
        self.configure(**settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.is_raised_by_users: str | None = None
        """The last line of the tracebacks that are no defect of ours: a test has code of a user's own raise it."""

    def configure(self, **settings: Mapping[str, object]) -> None:
        """Write weir.toml; what is not said lies in the folder."""
        places: dict[str, dict[str, object]] = {
            "source": {"url": f"log:{self.log}"},
            "checkpoints": {"url": str(self.checkpoints)},
            "state": {"dir": str(self.state)},
        }
        for name, section in settings.items():
            places[name] = {**places.get(name, {}), **section}
        self.toml.write_text("".join(_toml(name, section) for name, section in places.items()), encoding="utf-8")

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def port(self) -> str:
        return str(self._port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self, *options: str) -> "Weir":
        """Returns once requests are answered."""
        with self.stderr.open("ab") as err:
            said_before = err.tell()
            command = [*self.program, self.verb, "-c", str(self.toml), "--port", "0", *options]
            self._process = subprocess.Popen(command, stderr=err)
        started = wait_for(lambda: self._started(said_before))
        self._port = int(started[1])
        return self

    def kill(self) -> None:
        """kill -9."""
        self._running().kill()
        self._running().wait()
        self._process = None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self._running().send_signal(signal.SIGTERM)
        code = self._running().wait(DEADLINE_S)
        self._process = None
        return code

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._running().poll() is not None

    def close(self) -> None:
        """Let nothing run on, and prove that no traceback was ever printed but those of users' own code."""
        if self._process is not None:
            self.kill()
        said = self.stderr.read_text() if self.stderr.exists() else ""
        assert said.count("Traceback") == said.splitlines().count(str(self.is_raised_by_users)), said

    def last_words(self) -> str:
        """Everything that it has said, and how it has ended: why, it says at the very end, when it answers no more."""
        if self._process is not None and not self._is_listening():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GOODBYE_S)
        code = None if self._process is None else self._process.poll()
        how = "has not ended by itself" if code is None else f"ended with {code}"
        said = self.stderr.read_text() if self.stderr.exists() else ""
        return f"weir {self.verb} in {self.folder} {how}; it said: {said or 'nothing'}"

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object = b"") -> Answer:
        """A body that is not bytes is sent as JSON."""
        return self._ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())

    def status(self) -> dict[str, Any]:
        answer = self.get("/status")
        assert answer.status == 200, answer
        return dict(answer.body)

    def wait_learnt(self, records: int) -> dict[str, Any]:
        """Wait until the log holds at least so many records and all are learnt; returns the status."""
        return wait_for(
            self.status,
            lambda status: status["lag"] == 0 and sum(status["position"].values()) >= records,
            lambda status: (status["position"], status["lag"]),
        )

    def wait_examples(self, least: int) -> None:
        """Wait until so many examples are learnt."""
        wait_for(lambda: self.status()["examples"], lambda examples: examples >= least)

    def learn(self, events: Sequence[bytes]) -> None:
        """Have a service that has learnt nothing yet learn these, and take a checkpoint."""
        self.post("/events", b"\n".join(events))
        self.wait_learnt(len(events))
        self.checkpoint()

    def checkpoint(self) -> str:
        """Take a checkpoint over HTTP; returns its id."""
        answer = self.post("/checkpoints")
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def command(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Run `weir ARGUMENTS -c weir.toml` to its end."""
        return run_weir(*arguments, "-c", str(self.toml), environment=environment)

    def rollback(self, *arguments: str) -> str:
        """`weir rollback` against the running service; returns the id of the checkpoint that records it."""
        ran = self.command("rollback", *arguments, "--json", environment={"WEIR_HTTP_PORT": self.port})
        assert ran.code == 0, ran
        return str(json.loads(ran.out)["id"])

    def head(self) -> str:
        return (self.checkpoints / "HEAD").read_text().strip()

    def manifest(self, model_id: str | None = None) -> Manifest:
        return decode((self._package(model_id) / "MODEL.json").read_bytes())

    def blob(self, name: str, model_id: str | None = None) -> bytes:
        return (self._package(model_id) / name).read_bytes()

    def deciding(self, model_id: str | None = None) -> dict[str, bytes]:
        """What must be equal, byte for byte, for two runs to have learnt the same."""
        return {name: self.blob(name, model_id) for name in DECIDING}

    def copy_of_log(self, folder: Path, **settings: Mapping[str, object]) -> "Weir":
        """A service that has learnt nothing yet, on a copy of this one's log."""
        other = Weir(folder, **settings)
        shutil.copytree(self.log, other.log)
        return other

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _package(self, model_id: str | None) -> Path:
        return self.checkpoints / "objects" / (model_id or self.head())

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the service is not running"
        return self._process

    def _started(self, said_before: int) -> re.Match[str] | None:
        said = self.stderr.read_bytes()[said_before:].decode()
        code = self._running().poll()
        assert code is None, f"weir {self.verb} ended with {code}: {said}"
        return STARTED.search(said)

    def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
            return Answer(answer.status, json.loads(content), dict(answer.getheaders()))
        finally:
            connection.close()


@contextmanager
def closing(*services: Weir) -> Iterator[None]:
    """Nothing outlives the block, and nothing has printed a traceback. What fails is told with what each has said."""
    try:
        yield
    except Exception as error:
        for service in services:
            error.add_note(service.last_words())
        raise
    finally:
        for service in services:
            service.close()


def run_weir(*arguments: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run `weir ARGUMENTS` to its end."""
    run = subprocess.run(
        [WEIR, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    assert "Traceback" not in run.stderr, run.stderr
    return Ran(run.returncode, run.stdout, run.stderr)


def refused(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """The one line that a command says which cannot do what it was asked; its exit code is 2."""
    ran = run_weir(*arguments, environment=environment)
    lines = ran.err.splitlines()
    assert ran.code == 2, ran
    assert len(lines) == 1, ran
    assert lines[0].startswith("weir: "), ran
    return lines[0]


def wait_for(
    measure: Callable[[], T | None],
    enough: Callable[[T], bool] = bool,
    moving: Callable[[T], object] = lambda it: it,
) -> T:
    """What `measure` gives, as soon as that is enough. Fails when what moves in it has not moved for DEADLINE_S.

    Slow is not wrong: what gets nearer may take as long as the machine needs.
    """
    moved, deadline = None, time.monotonic() + DEADLINE_S
    asked_at = time.monotonic()
    while (found := measure()) is None or not enough(found):
        if found is not None and (now := moving(found)) != moved:
            moved, deadline = now, time.monotonic() + DEADLINE_S
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s in vain, at {moved!r}"
        time.sleep(max(0.01, time.monotonic() - asked_at))  # on a slow machine, at most half of the time is asking
        asked_at = time.monotonic()
    return found


async def append(folder: Path, payloads: Sequence[bytes], partitions: int | None = None, each: int = 500) -> None:
    """Put raw records into a log that no service holds: nobody checks them."""
    log = EmbeddedLog(folder, partitions=partitions)
    try:
        for first in range(0, len(payloads), each):
            await log.append(payloads[first : first + each])
    finally:
        await log.close()


async def records_of(folder: Path) -> dict[int, list[bytes]]:
    """All records of a log that no service holds, per partition."""
    log = EmbeddedLog(folder)
    try:
        left = sum(log.end().values())
        found: dict[int, list[bytes]] = {partition: [] for partition in log.end()}
        reading = log.read({})
        while left:
            records = await anext(reading)
            found[records.partition] += records.payloads
            left -= len(records.payloads)
        await reading.aclose()
        return found
    finally:
        await log.close()


def synthetic(count: int, seed: int = 0, first: int = 0, is_flipped: bool = False) -> list[bytes]:
    """Labelled JSON events with ids, easy to learn, so that poisoned labels show."""
    chance = random.Random(f"{seed} {first}")
    events = []
    for number in range(first, first + count):
        carrier, origin, hour = chance.choice("ABCDEF"), f"O{chance.randrange(40)}", chance.randrange(24)
        is_late = chance.random() < (0.9 if carrier in "AB" or hour > 17 else 0.1)
        event = {
            "id": f"e{number}",
            "ts": 1_700_000_000 + number,
            "label": int(is_late != is_flipped),
            "features": {"f": {"carrier": carrier, "origin": origin, "hour": hour}, "n": number % 7},
        }
        events.append(msgspec.json.encode(event))
    return events


def _toml(name: str, section: Mapping[str, object]) -> str:
    tables = {key: value for key, value in section.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in section.items() if key not in tables}
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items())]
    nested = [_toml(f"{name}.{json.dumps(key)}", value) for key, value in tables.items()]
    return "\n".join([*lines, ""]) + "".join(nested)
