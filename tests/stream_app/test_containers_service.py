"""Kafka and Weir with the settings of docker-compose.yml: only addresses, ports and folders are the test's own."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from container_files import GIVEN, SERVICES
from weir_process import DEADLINE_S, STARTED, WEIR, run_weir, wait_for

from checkpoints import open_store
from stream_app.sources.kafka_topic import KafkaOptions, KafkaTopic
from tools.kafka import Broker, PortTaken, free_port, missing

EVENTS = 1000


class Outside(NamedTuple):
    """A broker, and HOST:PORT of its listener for programs outside of the containers."""

    broker: Broker
    servers: str


@pytest.fixture(scope="module")
def kafka_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    absent = missing()
    if absent is not None:
        pytest.skip(f"no Kafka broker: {absent}")
    outside = _started(tmp_path_factory.mktemp("compose"))
    yield outside
    outside.broker.stop()


def _started(folder: Path) -> Outside:
    """On another port where somebody has taken the one that was free."""
    while True:
        servers = f"127.0.0.1:{free_port()}"
        try:
            return Outside(Broker(folder, options=properties(servers)).start(), servers)
        except PortTaken:
            continue


def properties(outside: str) -> dict[str, str]:
    """Kafka's variables as its image turns them into settings."""
    here = {
        "127.0.0.1:29092": outside, "HOST://:29092": f"HOST://{outside}", "kafka:9092": "127.0.0.1:$port",
        "://:9092": "://127.0.0.1:$port", ":9093": ":$controller", "/var/lib/kafka/data": "$data",
    }  # fmt: skip
    settings = {}
    for name, value in SERVICES["kafka"]["environment"].items():
        for place, ours in here.items():
            value = value.replace(place, ours)
        settings[name.removeprefix("KAFKA_").replace("_", ".").lower()] = value
    return {name: value for name, value in settings.items() if name != "cluster.id"}


def environment(folder: Path, servers: str) -> dict[str, str]:
    """Weir's variables."""
    given = SERVICES["weir"]["environment"]
    return {
        **os.environ,
        **given,
        "WEIR_SOURCE_URL": given["WEIR_SOURCE_URL"].replace("kafka:9092", servers),
        "WEIR_CHECKPOINTS_URL": str(folder / "checkpoints"),
        "WEIR_STATE_DIR": str(folder / "state"),
        "WEIR_HTTP_HOST": "127.0.0.1",
        "WEIR_HTTP_PORT": "0",
    }


def started(service: "subprocess.Popen[bytes]", said: Path) -> re.Match[str] | None:
    assert service.poll() is None, said.read_text()
    return STARTED.search(said.read_text())


def is_healthy(port: int) -> bool:
    """What the health check of the file says."""
    _, python, *arguments = SERVICES["weir"]["healthcheck"]["test"]
    assert python == "python"
    command = [sys.executable, *(argument.replace(":8080/", f":{port}/") for argument in arguments)]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False).returncode == 0


def asked(port: int, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> dict:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, dict(headers or {}))
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.load(answer)


def test_weir_learns_what_is_produced_from_outside_of_the_containers(tmp_path, kafka_outside):
    broker, outside = kafka_outside
    with socket.socket() as held:  # nobody listens, and nobody else can
        held.bind(("127.0.0.1", 0))
        assert not is_healthy(held.getsockname()[1])
    said = tmp_path / "stderr"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            [WEIR, *SERVICES["weir"]["command"]], cwd=tmp_path, env=environment(tmp_path, broker.servers), stderr=log
        ) as service,
    ):
        try:
            port = int(wait_for(lambda: started(service, said))[1])
            wait_for(lambda: is_healthy(port))
            start, _ = asyncio.run(KafkaTopic(f"//{outside}/events", KafkaOptions()).look_up(None))
            assert len(start) == 4
            produced = run_weir(
                "produce", "river:Phishing", "--limit", str(EVENTS), "--to", f"kafka://{outside}/events"
            )
            assert produced.code == 0, produced
            wait_for(lambda: sum(asked(port, "/status")["position"].values()) == EVENTS)
            with pytest.raises(urllib.error.HTTPError, match="401"):
                asked(port, "/checkpoints", body=b"")
            bearer = {"Authorization": f"Bearer {GIVEN['WEIR_HTTP_TOKEN']}"}
            assert asked(port, "/checkpoints", bearer, b"")["id"].startswith("sha256.")
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(DEADLINE_S) == 0
    assert open_store(str(tmp_path / "checkpoints")).head() is not None
