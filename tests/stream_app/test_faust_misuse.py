"""`weir worker` and what Faust loses where it is misused: each point, against a real broker."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from join_process import Topics, UnluckyWorker, Worker, fields_of, label_of, unlabelled, worker
from weir_process import closing, refused, run_weir, synthetic

from stream_app.label_join import Entry, Kind
from stream_app.sources.kafka import KafkaSource

SCRIPT = """
import asyncio, json, sys
from stream_app import faust_app
from stream_app.config import load
async def main():
    app = faust_app.build_app(load(sys.argv[1]))
    conf, (agent,) = app.conf, app.agents.values()
    print(json.dumps({
        "guarantee": conf.processing_guarantee.value, "web": app.boot_strategy._should_enable_web(),
        "partitions": conf.topic_partitions, "codecs": [str(conf.key_serializer), str(conf.value_serializer)],
        "concurrency": agent.concurrency, "leader": conf.topic_disable_leader, "store": str(conf.store),
        "services": [type(part).__name__ for part in app.boot_strategy.server()][0],
        "tables": [[t.name, t.partitions, t.key_serializer, t.value_serializer] for t in app.tables.values()],
        "is_in_state": str(conf.datadir).startswith(sys.argv[2]), "id": conf.id,
    }))
    await app.topics_joined.close()
asyncio.run(main())
"""

HANGING = """
import asyncio, sys
from stream_app import faust_app
from stream_app.commands import worker
from stream_app.config import load
worker.GOODBYE_S = 0.2
async def start():
    if sys.argv[2] == "start":
        raise OSError("no room")
    app._crash(OSError("no room"))
async def stop():
    await asyncio.Event().wait()
async def main():
    global app
    app = faust_app.build_app(load(sys.argv[1]))
    app.start, app.stop = start, stop
    await faust_app.run(app, lambda: worker._end_in_time(app))
asyncio.run(main())
"""


async def test_an_error_within_the_join_acknowledges_nothing_and_ends_the_worker_in_one_line(
    kafka: str, tmp_path: Path
) -> None:
    topics, events = Topics(kafka, partitions=1), synthetic(500)
    service, poison = worker(tmp_path, topics), b"i" + unlabelled(events[0])[0]
    changelog = KafkaSource(f"//{kafka}/{topics.changelog}", partitions=1)
    await changelog.append([b"no entry of ours"], [poison])
    with closing(service):
        service.start().wait_joining()
        await topics.append("predictions", [unlabelled(event) for event in events])
        assert service.ended() == 2
        said = service.stderr.read_text().splitlines()
        assert [line for line in said if line.startswith("weir: the label join failed")], said
        assert await committed(topics) <= 0
        done = msgspec.msgpack.encode(Entry(Kind.EXPIRED, 0.0, 1 << 40))
        await changelog.append([done], [poison])
        await changelog.close()
        service.start()
        await topics.append("labels", [label_of(event) for event in events])
        assert service.wait_joined(joined=500)["examples"] == 500
        assert service.stop() == 0
    assert fields_of(await topics.records("events")) == fields_of(events)


@pytest.mark.parametrize("how", ["start", "crash"])
def test_what_ended_it_is_said_in_one_line_though_saying_goodbye_hangs(how: str, kafka: str, tmp_path: Path) -> None:
    service = worker(tmp_path, Topics(kafka))
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", HANGING, str(service.toml), how],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (run.returncode, run.stderr.count("\n")) == (2, 1), run.stderr
    assert run.stderr.startswith("weir: ")
    assert "no room" in run.stderr


@pytest.mark.parametrize("verb", ["serve", "worker"])
def test_a_cancellation_that_a_client_of_the_broker_lets_out_ends_it_with_an_error_in_one_line(
    verb: str, kafka: str, tmp_path: Path
) -> None:
    service = UnluckyWorker(tmp_path, "cancellation_let_out", **Topics(kafka).settings())
    service.verb = verb
    with closing(service):
        service.start()
        assert service.ended() == 2
    started, *said = service.stderr.read_text().splitlines()
    assert ", learning from kafka://" in started
    assert said == ["weir: the service was cancelled before it was told to stop; start it again"]


async def committed(topics: Topics) -> int:
    """How far the group has acknowledged, over all partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.servers)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(topics.group)
    finally:
        await admin.close()
    return sum(max(0, place.offset) for topic, place in offsets.items())


def test_the_app_is_set_up_as_its_guarantees_need(kafka: str, tmp_path: Path) -> None:
    topics = Topics(kafka)
    service = worker(tmp_path, topics)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(service.toml), str(service.state)],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "guarantee": "at_least_once", "web": False, "partitions": 4, "codecs": ["raw", "raw"], "concurrency": 1,
        "leader": True, "store": "rocksdb:", "services": "Learning", "tables": [["labels", 4, "raw", "raw"]],
        "is_in_state": True, "id": topics.group,
    }  # fmt: skip


def test_nothing_of_fausts_own_web_is_served(kafka: str, tmp_path: Path) -> None:
    service = worker(tmp_path, Topics(kafka)).start()
    with closing(service):
        service.wait_joining()
        assert {service.get(path).status for path in ("/router/", "/table/", "/table/labels/")} == {404}
        assert service.ports() == [int(service.port)]
        assert service.stop() == 0


async def test_it_also_starts_by_fausts_own_command(kafka: str, tmp_path: Path) -> None:
    topics, events = Topics(kafka), synthetic(20)
    service = worker(tmp_path, topics, http={"port": 0}, checkpoints={"every_s": 1_000})
    with closing(service):
        service.start_by_faust().wait_joining()
        await topics.append("predictions", [unlabelled(event) for event in events])
        await topics.append("labels", [label_of(event) for event in events])
        service.wait_joined(joined=20)
        assert service.ports() == [int(service.port)]
        assert service.stop() == 0
    assert service.manifest().since_parent.records == 20


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        (
            "join",
            {"predictions": None, "labels": None, "dead_letters": None, "partitions": None},
            "join.predictions: required",
        ),
        ("join", {"labels": None}, "join.labels: required where another topic"),
        ("source", {"url": "log:data/log", "partitions": None}, "source.url: 'log:data/log' has no topics to join by"),
        ("events", {"dedupe_window": 900}, "events.dedupe_window: 900 is too small"),
    ],
)
def test_settings_that_cannot_be_are_said_in_one_line(
    section: str, change: dict[str, object], said: str, tmp_path: Path
) -> None:
    settings = {name: dict(values) for name, values in Topics("127.0.0.1:1").settings().items()}
    settings[section] = {k: v for k, v in (settings.get(section, {}) | change).items() if v is not None}
    service = Worker(tmp_path, **settings)
    assert said in refused("worker", "-c", str(service.toml))


def test_a_port_that_is_taken_ends_the_worker_in_one_line(kafka: str, tmp_path: Path) -> None:
    service = worker(tmp_path, Topics(kafka))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run_weir("worker", "-c", str(service.toml), "--port", str(port))
    assert ran.code == 2
    assert f"weir: http.port: 127.0.0.1:{port} cannot be listened on" in ran.err.splitlines()[-1]
