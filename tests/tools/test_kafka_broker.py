"""`make kafka`'s broker: where its ports are taken, it says so, or takes others."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tools import kafka
from tools.kafka import Broker, PortTaken, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Kafka broker: {missing()}")


@pytest.fixture
def taken() -> Iterator[list[int]]:
    """Two ports where somebody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as one, closing(socket.create_server(("127.0.0.1", 0))) as two:
        yield [one.getsockname()[1], two.getsockname()[1]]


def found_free(ports: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """These ports are found free one after the other, then those that are."""
    left, ask = iter(ports), kafka.free_port
    monkeypatch.setattr(kafka, "free_port", lambda wanted=0: next(left, 0) or ask(wanted))


def test_a_port_that_others_know_is_not_exchanged_for_another_one(taken: list[int], tmp_path: Path) -> None:
    with pytest.raises(PortTaken, match=f"port {taken[0]} is taken"):
        Broker(tmp_path, taken[0]).start()


def test_a_port_that_was_taken_since_it_was_found_free_is_exchanged(
    taken: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_free(taken, monkeypatch)  # for clients and for the controller
    with Broker(tmp_path) as broker:
        host, _, port = broker.servers.rpartition(":")
        assert int(port) not in taken
        socket.create_connection((host, int(port))).close()


def test_a_cluster_may_get_any_random_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xfb" * 16))  # in base64 it begins with "-"
    with Broker(tmp_path) as broker:
        host, _, port = broker.servers.rpartition(":")
        socket.create_connection((host, int(port))).close()
