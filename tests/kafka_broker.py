"""A real Kafka broker for tests: the one of KAFKA_BOOTSTRAP_SERVERS, or one of their own per session."""

import asyncio
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from stream_app.sources.kafka import KafkaSource
from stream_app.sources.kafka_topic import KafkaOptions
from stream_app.sources.source import SourceError
from tools.kafka import Broker, PortTaken, free_port, missing

QUICK = {
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "300",
    "group.min.session.timeout.ms": "500",
}
"""A broker that was killed comes back sooner: it need not outwait the session of the one that it was. Nor need those
that outlive a member of their group."""

PATIENT = KafkaOptions(timeout_s=600.0)
"""On a loaded machine a broker answers late, and what is sent again after that may be there twice."""

PASSWORD = "kept apart"


class Certificates(NamedTuple):
    """PEM files: of an authority, of a broker with its key, and of a client with its key, both issued by it."""

    authority: Path
    broker: Path
    client: Path


def issued_in(folder: Path) -> Certificates:
    """Certificates of an authority that nobody else knows."""
    authority = trustme.CA()
    files = Certificates(folder / "authority.pem", folder / "broker.pem", folder / "client.pem")
    authority.cert_pem.write_to_path(str(files.authority))
    for path, issued in (
        (files.broker, authority.issue_cert("127.0.0.1")),
        (files.client, authority.issue_cert("weir")),
    ):
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        chain = b"".join(certificate.bytes() for certificate in issued.cert_chain_pems)
        # Kafka reads keys of no other form.
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
    return files


def secured(sasl_port: int, tls_port: int, files: Certificates) -> dict[str, str]:
    """Settings for two further ports: where one has to say the password of the user weir; where one has to show a
    certificate of the authority's, encrypted."""
    ports = {"PLAINTEXT": "$port", "CONTROLLER": "$controller", "SASL_PLAINTEXT": sasl_port, "SSL": tls_port}
    kinds = {name: "PLAINTEXT" if name == "CONTROLLER" else name for name in ports}
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items()),
        "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in kinds.items()),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{module} required user_weir="{PASSWORD}";',
        "listener.name.ssl.ssl.keystore.type": "PEM",
        "listener.name.ssl.ssl.keystore.location": str(files.broker),
        "listener.name.ssl.ssl.truststore.type": "PEM",
        "listener.name.ssl.ssl.truststore.location": str(files.authority),
        "listener.name.ssl.ssl.client.auth": "required",
    }


class OwnBroker(NamedTuple):
    """A broker, and its ports beside the plain one."""

    broker: Broker
    sasl_port: int
    tls_port: int


@pytest.fixture(scope="session")
def secured_broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[OwnBroker]:
    absent = missing()
    if absent is not None and os.environ.get("CI"):
        pytest.fail(f"in CI the tests of Kafka must run: {absent}")
    if absent is not None:
        pytest.skip(f"no Kafka broker: {absent}; or set KAFKA_BOOTSTRAP_SERVERS")
    own = started_in(tmp_path_factory.mktemp("kafka"), certificates)
    yield own
    own.broker.stop()


@pytest.fixture(scope="session")
def own_broker(secured_broker: OwnBroker) -> Broker:
    """A broker that a test may kill, if it starts it again."""
    return secured_broker.broker


@pytest.fixture(scope="session")
def sasl_servers(secured_broker: OwnBroker) -> str:
    """HOST:PORT of the same broker, where the user weir has to say PASSWORD."""
    return f"127.0.0.1:{secured_broker.sasl_port}"


@pytest.fixture(scope="session")
def tls_servers(secured_broker: OwnBroker) -> str:
    """HOST:PORT of the same broker, encrypted, where a client has to show a certificate."""
    return f"127.0.0.1:{secured_broker.tls_port}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issued_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """HOST:PORT of a broker that creates topics by itself, as brokers do."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return given or str(request.getfixturevalue("own_broker").servers)


def started_in(folder: Path, certificates: Certificates) -> OwnBroker:
    """On other ports where somebody has taken one of those that were free."""
    while True:
        port, sasl, tls = lasting_ports(3)
        try:
            return OwnBroker(Broker(folder, port, QUICK | secured(sasl, tls, certificates)).start(), sasl, tls)
        except PortTaken:
            continue


def lasting_ports(count: int) -> list[int]:
    """Free ports below those that connections are given, so that none takes one while its broker is down."""
    found: set[int] = set()
    while len(found) < count:
        wanted = 20_000 + secrets.randbelow(12_000)
        if free_port(wanted) == wanted:
            found.add(wanted)
    return list(found)


def new_place(servers: str) -> str:
    """The place of a topic that nobody has used."""
    return f"//{servers}/test-{uuid.uuid4().hex}"


def new_source(servers: str, partitions: int = 1, **options: object) -> KafkaSource:
    """A source on a new topic, patient as such; where opening takes longer than its timeout_s, it is opened again."""
    place, chosen = new_place(servers), KafkaOptions(**{"timeout_s": PATIENT.timeout_s, **options})
    while True:
        try:
            return KafkaSource(place, partitions=partitions, options=chosen)
        except SourceError as error:
            if "no answer within" not in str(error):
                raise


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


async def delete_records(servers: str, place: str, before: dict[int, int]) -> None:
    """What retention does: per partition, records before an offset are no longer kept."""
    topic = place.rpartition("/")[2]
    async with administering(servers) as admin:
        await admin.delete_records({TopicPartition(topic, part): RecordsToDelete(end) for part, end in before.items()})


def tasks_left() -> list[asyncio.Task[object]]:
    """What runs beside the caller."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
