"""`weir worker` as users run it, the topics that it joins, and what was written to them."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
from kafka_broker import PATIENT
from weir_process import DEADLINE_S, Weir, wait_for

from stream_app.label_join import Entry, Kind
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.kafka_topic import KafkaOptions, KafkaTopic

PARTITIONS = 4


class Topics:
    """The names of the topics of one join, on one cluster; nobody has used them."""

    def __init__(self, servers: str, partitions: int = PARTITIONS) -> None:
        self.servers = servers
        self.partitions = partitions
        self.name = f"join-{uuid.uuid4().hex[:12]}"

    @property
    def group(self) -> str:
        return f"weir.{self.name}.join"

    @property
    def changelog(self) -> str:
        return f"{self.group}-labels-changelog"

    def settings(self, **join: object) -> dict[str, Mapping[str, object]]:
        names = {topic: self.topic(topic) for topic in ("predictions", "labels", "dead_letters")}
        return {
            "model": {"name": self.name},
            "source": {"url": f"kafka://{self.servers}/{self.topic('events')}", "partitions": self.partitions},
            "join": {**names, "partitions": self.partitions, **join},
        }

    def topic(self, name: str) -> str:
        return f"{self.name}-{name}"

    def place(self, name: str) -> str:
        return f"//{self.servers}/{self.topic(name)}"

    def source(self, name: str) -> KafkaSource:
        """One of events, predictions, labels, dead_letters."""
        return KafkaSource(self.place(name), partitions=self.partitions, options=PATIENT)

    async def append(self, name: str, records: Sequence[tuple[bytes | None, bytes]], each: int = 2000) -> None:
        source = self.source(name)
        for first in range(0, len(records), each):
            some = records[first : first + each]
            await source.append([value for _, value in some], [key for key, _ in some])
        await source.close()

    async def records(self, name: str) -> list[bytes]:
        """All that a topic holds now."""
        source = self.source(name)
        left, found = sum(source.end().values()), []
        async with aclosing(source.read({})) as reading:
            while len(found) < left:
                found += (await anext(reading)).payloads
        await source.close()
        return found

    async def states(self) -> dict[bytes, list[Kind]]:
        """By id, what the changelog says of it, one after the other."""
        topic, found = KafkaTopic(f"//{self.servers}/{self.changelog}", KafkaOptions()), {}
        async with topic.consumer() as consumer:
            _, ends = await topic.bounds(consumer)
            for number in ends:
                place = topic.partition(number)
                consumer.assign([place])
                consumer.seek(place, 0)
                while await consumer.position(place) < ends[number]:
                    for record in (await consumer.getmany(timeout_ms=100)).get(place, []):
                        if record.key.startswith(b"i") and record.value is not None:
                            entry = msgspec.msgpack.decode(record.value, type=Entry)
                            found.setdefault(record.key[1:], []).append(entry.kind)
        return found


class Worker(Weir):
    """`weir worker` in a folder of its own."""

    verb = "worker"

    def start_by_faust(self) -> "Worker":
        """`faust -A stream_app.faust_app worker` in the folder; returns once it listens."""
        command = [str(Path(sys.executable).with_name("faust")), "-A", "stream_app.faust_app", "worker", "-l", "warn"]
        with self.stderr.open("ab") as err:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=err)
        (self._port,) = wait_for(self._ports_while_it_runs)
        return self

    def ports(self) -> list[int]:
        """Where it listens."""
        listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
        own = [line.split()[3] for line in listening if f"pid={self.pid}," in line]
        return [int(address.rpartition(":")[2]) for address in own]

    def ended(self) -> int:
        """The exit code of a worker that ends by itself."""
        code = self._running().wait(DEADLINE_S)
        self._process = None
        return code

    def joined(self) -> dict[str, int]:
        return dict(self.status()["join"])

    def wait_joined(self, **figures: int) -> dict[str, Any]:
        """Wait until the join counts exactly so, and all that it gave is learnt; returns the status."""

        def counted(status: dict[str, Any]) -> dict[str, int]:
            return {name: status["join"][name] for name in figures}

        def is_so(status: dict[str, Any]) -> bool:
            # The end of the topic of events may not be heard of yet: what was joined has been learnt as well.
            return counted(status) == figures and status["lag"] == 0 and status["records"] >= figures.get("joined", 0)

        try:
            return wait_for(self.status, is_so, lambda status: (counted(status), status["records"]))
        except AssertionError as error:
            raise AssertionError(f"{figures} not reached: {self.status()}") from error

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=DEADLINE_S) as answer:
            return str(answer.read().decode())

    def _ports_while_it_runs(self) -> list[int]:
        assert not self.has_ended(), self.stderr.read_text()
        return self.ports()

    def wait_joining(self) -> "Worker":
        """Wait until partitions are ours, and recovered."""
        wait_for(lambda: self.joined()["partitions"])
        return self


class StoppingWorker(Worker):
    """One that stops itself once, right before it writes to a topic whose name ends so."""

    def __init__(self, folder: Path, topic: str, **settings: Mapping[str, object]) -> None:
        super().__init__(folder, **settings)
        self.program = (sys.executable, str(Path(__file__).with_name("stopping_worker.py")), topic)

    def wait_stopped(self) -> None:
        wait_for(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class UnluckyWorker(Worker):
    """One to which something happens that is rare; see unlucky_worker.py."""

    def __init__(self, folder: Path, what: str, **settings: Mapping[str, object]) -> None:
        super().__init__(folder, **settings)
        self.program = (sys.executable, str(Path(__file__).with_name("unlucky_worker.py")), what)


def worker(folder: Path, topics: Topics, **settings: Mapping[str, object]) -> Worker:
    return Worker(folder, **{**topics.settings(), **settings})


def unlabelled(event: bytes) -> tuple[bytes, bytes]:
    """The prediction that this event completes, as key and value."""
    fields = json.loads(event)
    del fields["label"]
    return fields["id"].encode(), json.dumps(fields).encode()


def label_of(event: bytes, label: object = None) -> tuple[bytes, bytes]:
    """The label that completes it, as key and value."""
    fields = json.loads(event)
    wanted = {"id": fields["id"], "label": fields["label"] if label is None else label}
    return fields["id"].encode(), json.dumps(wanted).encode()


def fields_of(events: Sequence[bytes]) -> dict[str, Any]:
    """By id, what each event says."""
    return {fields["id"]: fields for fields in map(json.loads, events)}
