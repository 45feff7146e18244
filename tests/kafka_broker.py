"""A real Kafka broker for tests: the one of KAFKA_BOOTSTRAP_SERVERS, or one of their own per session."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_app.sources.kafka import KafkaSource
from stream_app.sources.kafka_topic import KafkaOptions
from tools.kafka import Broker, free_port, missing

QUICK = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "300"}
"""A broker that was killed comes back sooner: it need not outwait the session of the one that it was."""

PASSWORD = "kept apart"


def with_sasl(port: int) -> dict[str, str]:
    """Settings for a second port, where one has to say the password of the user weir."""
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller,SASL_PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{module} required user_weir="{PASSWORD}";',
    }


@pytest.fixture(scope="session")
def sasl_servers(own_broker: Broker, sasl_port: int) -> str:
    """HOST:PORT of the same broker, where the user weir has to say PASSWORD."""
    return f"127.0.0.1:{sasl_port}"


@pytest.fixture(scope="session")
def sasl_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory, sasl_port: int) -> Iterator[Broker]:
    """A broker that a test may kill, if it starts it again."""
    absent = missing()
    if absent is not None:
        pytest.skip(f"no Kafka broker: {absent}; or set KAFKA_BOOTSTRAP_SERVERS")
    with Broker(tmp_path_factory.mktemp("kafka"), options=QUICK | with_sasl(sasl_port)) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """HOST:PORT of a broker that creates topics by itself, as brokers do."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return given or str(request.getfixturevalue("own_broker").servers)


def new_place(servers: str) -> str:
    """The place of a topic that nobody has used."""
    return f"//{servers}/test-{uuid.uuid4().hex}"


def new_source(servers: str, partitions: int = 1, **options: object) -> KafkaSource:
    """A source on a new topic."""
    return KafkaSource(new_place(servers), partitions=partitions, options=KafkaOptions(**options))


@asynccontextmanager
async def administering(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def topics_of(servers: str) -> set[str]:
    async with administering(servers) as admin:
        return set(await admin.list_topics())


def tasks_left() -> list[asyncio.Task[object]]:
    """What runs beside the caller."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
