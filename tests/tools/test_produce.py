"""`weir produce` as a process: what it sends arrives whole, in order, and after a kill goes on where it was."""

import gzip
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stream_app"))
from weir_process import WEIR, Weir, append, closing, records_of, synthetic, wait_for

from formats.schema import Schema
from stream_app.settings import ConfigError
from tools.produce import Flip
from tools.sinks import BATCH_BYTES, feed

EVENTS = synthetic(30_000)


def file_of(folder: Path, events: list[bytes], name: str = "events.jsonl") -> str:
    data = b"\n".join(events)
    (folder / name).write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    return str(folder / name)


def killed_while_sending(service: Weir, to: str, files: list[str], chance: random.Random) -> bool:
    """Kill -9 after some notes, two for each batch; slow enough that it cannot have ended. False where it had."""
    folder = service.state / "produced"

    def noted() -> list[bytes]:
        return [path.read_bytes() for path in sorted(folder.glob("*.json"))]

    before = noted()
    command = [WEIR, "produce", *files, "--to", to, "--resume", "--rate", "500", "-c", str(service.toml)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        for _ in range(chance.randrange(1, 6)):
            wait_for(lambda known=before: process.poll() is not None or noted() != known)
            before = noted()
        process.kill()
    return process.returncode < 0


@pytest.mark.parametrize("partitions", [1, 3])
async def test_killed_at_random_moments_every_event_stands_in_the_log_once(partitions: int, tmp_path: Path) -> None:
    service = Weir(tmp_path, source={"partitions": partitions})
    files = [file_of(tmp_path, EVENTS[:9_000]), file_of(tmp_path, EVENTS[9_000:], "more.jsonl.gz")]
    to, chance = f"log:{service.log}", random.Random(partitions)
    for _ in range(6):
        assert killed_while_sending(service, to, files, chance)
    ran = service.command("produce", *files, "--to", to, "--resume", "--json")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["events"] < len(EVENTS)
    found = await records_of(service.log)
    assert sorted(event for events in found.values() for event in events) == sorted(EVENTS)
    if partitions == 1:
        assert found[0] == EVENTS


async def test_the_batch_that_had_arrived_when_it_was_killed_is_not_sent_again(tmp_path: Path) -> None:
    """The log is as after a kill between the append and the next note."""
    service = Weir(tmp_path)
    file, to = file_of(tmp_path, EVENTS[:1_200]), f"log:{service.log}"
    killed_while_sending(service, to, [file], random.Random(1))
    (note,) = (service.state / "produced").glob("*.json")
    sent = json.loads(note.read_bytes())
    arrived = sum(map(len, (await records_of(service.log)).values()))
    if arrived == sent["events"]:
        await append(service.log, EVENTS[arrived : arrived + sent["pending"]])
    assert service.command("produce", file, "--to", to, "--resume").code == 0
    assert await records_of(service.log) == {0: EVENTS[:1_200]}


def test_killed_while_sending_to_a_service_every_event_is_learnt_once_by_its_id(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    file = file_of(tmp_path, EVENTS)
    with closing(service):
        service.start()
        chance = random.Random(7)
        assert killed_while_sending(service, service.url, [file], chance)
        assert service.command("produce", file, "--to", service.url, "--resume").code == 0
        status = service.wait_learnt(len(EVENTS))
        assert service.stop() == 0
    assert status["examples"] == len(EVENTS)


def test_cut_off_it_says_how_far_it_came_of_which_file_and_how_to_go_on(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    files = [file_of(tmp_path, EVENTS[:100]), file_of(tmp_path, EVENTS[100:], "more.jsonl")]
    with closing(service):
        for options, how in (
            ((), r"; --first (\d+) goes on from there; begun with --resume, the same command does so by itself\n"),
            (("--resume",), r"; the same command goes on from there\n"),
        ):
            service.start()
            command = [WEIR, "produce", *files, "--to", service.url, "--rate", "500", "-c", str(service.toml), *options]
            begun = sum(service.wait_learnt(0)["position"].values())
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                wait_for(lambda before=begun: sum(service.status()["position"].values()) > before + 300)
                service.kill()
                said = process.communicate()[1]
            assert process.returncode == 2
            told = re.search(r"; (\d+) events were acknowledged, the last is event (\d+) of (\S+) \(.*\)" + how, said)
            assert told is not None, said
            assert (int(told[2]), told[3]) == (int(told[1]) - 100, files[1])
            assert told[1] in told.groups()[3:] or options


async def test_resumed_again_it_sends_what_the_file_has_grown_by(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    file, to = file_of(tmp_path, EVENTS[:70]), f"log:{service.log}"
    for count, grown in ((70, EVENTS[:100]), (30, EVENTS[:100]), (0, EVENTS[:100])):
        ran = service.command("produce", file, "--to", to, "--resume", "--json")
        assert json.loads(ran.out)["events"] == count
        file_of(tmp_path, grown)
    assert await records_of(service.log) == {0: EVENTS[:100]}


def test_a_file_that_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    file, to = file_of(tmp_path, EVENTS[:70]), f"log:{service.log}"
    assert service.command("produce", file, "--to", to, "--resume").code == 0
    file_of(tmp_path, EVENTS[1:90])
    ran = service.command("produce", file, "--to", to, "--resume")
    assert ran.code == 2
    assert f"the first 70 events of {file} are not those that were sent" in ran.err


async def test_what_stands_before_the_damage_of_a_file_is_sent(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    file = tmp_path / "cut.json"
    file.write_bytes(b"[" + b",\n".join(EVENTS[:30]) + b",")
    ran = service.command("produce", str(file), "--to", f"log:{service.log}")
    assert ran.code == 2
    assert "cut.json, line 30: the array that begins on the first line is not closed after item 30" in ran.err
    assert await records_of(service.log) == {0: EVENTS[:30]}


async def test_rows_of_parquet_and_csv_are_sent_as_the_format_says(tmp_path: Path) -> None:
    service = Weir(tmp_path / "parquet")
    pq.write_table(pa.table({"y": [1, 0], "x": ["a", None]}), tmp_path / "a.parquet")
    assert service.command("produce", str(tmp_path / "a.parquet"), "--to", f"log:{service.log}").code == 0
    assert await records_of(service.log) == {0: [b'{"y":1,"x":"a"}', b'{"y":0,"x":null}']}
    rows = Weir(tmp_path / "csv", events={"columns": ["y", "x"]}, schema={"label": "y"})
    file = file_of(tmp_path, [b"y,x", b"1,a", b"0,b"], "a.csv.gz")
    assert rows.command("produce", file, "--to", f"log:{rows.log}").code == 0
    assert await records_of(rows.log) == {0: [b"1,a", b"0,b"]}


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("nowhere", "--to: 'nowhere': expected http://HOST:PORT"),
        ("file:a", "file a is missing"),
        ("http://127.0.0.1:1", "no service at"),
    ],
)
def test_where_nothing_can_be_sent_to_is_said(to: str, said: str, tmp_path: Path) -> None:
    service = Weir(tmp_path)
    ran = service.command("produce", file_of(tmp_path, EVENTS[:5]), "--to", to)
    assert ran.code == 2
    assert said in ran.err


def test_parquet_does_not_go_where_another_format_is_read(tmp_path: Path) -> None:
    service = Weir(tmp_path, events={"format": "vw"})
    pq.write_table(pa.table({"y": [1]}), tmp_path / "a.parquet")
    ran = service.command("produce", str(tmp_path / "a.parquet"), "--to", f"log:{service.log}")
    assert ran.code == 2
    assert "events.format: 'vw', but rows of Parquet are sent as json" in ran.err


@pytest.mark.parametrize(
    ("schema", "event", "flipped"),
    [
        ({}, {"label": 1}, {"label": 0}),
        ({}, {"label": -1}, {"label": 1}),
        ({"label": "y"}, {"y": 0, "a": 2}, {"y": 1, "a": 2}),
        ({"labels": {"YES": 1, "Y": 1, "NO": -1}}, {"label": "Y"}, {"label": "NO"}),
        ({"labels": {"1": 1, "0": -1}}, {"label": 1.0}, {"label": "0"}),
        ({}, {"label": "1"}, {"label": "0"}),
        ({"label": "y"}, {"label": 1, "features": {"a": 2}}, {"label": 0, "features": {"a": 2}}),
        ({"label": "y"}, {"features": {"y": 1, "a": 2}}, {"features": {"y": 0, "a": 2}}),
    ],
)
def test_flipped_labels_are_those_of_the_schema(schema: dict[str, Any], event: object, flipped: object) -> None:
    assert json.loads(Flip(Schema(**schema))(json.dumps(event).encode())) == flipped


def test_what_has_no_opposite_is_not_flipped() -> None:
    with pytest.raises(ConfigError, match=re.escape("""no binary label in b'{"label": 2}'""")):
        Flip(Schema())(b'{"label": 2}')
    with pytest.raises(ConfigError, match=r"expected names of two labels in schema.labels, got \['a', 'b', 'c'\]"):
        Flip(Schema(labels={"a": 1, "b": 2, "c": 3}))


class Batches:
    def __init__(self) -> None:
        self.taken: list[list[bytes]] = []

    async def append(self, payloads: list[bytes]) -> None:
        self.taken.append(payloads)


async def test_batches_of_large_events_are_cut_by_their_bytes() -> None:
    sink, events = Batches(), [b"x" * size for size in [20_000] * 900 + [5 << 20, 1]]
    assert (await feed(sink, events, None, lambda sent: None))[0] == 902
    assert [event for batch in sink.taken for event in batch] == events
    assert max(sum(map(len, batch)) for batch in sink.taken if len(batch) > 1) <= BATCH_BYTES
