"""A Kafka topic from outside: where it is, how to connect, whether it is there. Knows no records."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition, codec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.helpers import create_ssl_context

from stream_app.sources.source import Position, SourceError

Client = TypeVar("Client")

RETRY_S = 0.2
CLOSE_S = 2.0
"""How long saying goodbye to a broker may take that may be gone."""

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s/:,@\[\]]+):\d{1,5}")
_FILES = {"ssl_cafile": "cafile", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_SECRETS = {"sasl_plain_password": "WEIR_SOURCE_KAFKA_PASSWORD", "ssl_password": "WEIR_SOURCE_KAFKA_KEY_PASSWORD"}
_ALL = {
    "client_id", "connections_max_idle_ms", "metadata_max_age_ms", "request_timeout_ms", "retry_backoff_ms",
    "sasl_kerberos_domain_name", "sasl_kerberos_service_name", "sasl_mechanism", "sasl_plain_username",
    "security_protocol",
}  # fmt: skip
_READING = {
    "check_crcs", "client_rack", "fetch_max_bytes", "fetch_max_wait_ms", "fetch_min_bytes", "max_partition_fetch_bytes",
}  # fmt: skip
_JOINING = {"heartbeat_interval_ms", "max_poll_interval_ms", "rebalance_timeout_ms", "session_timeout_ms"}
_WRITING = {"compression_type", "linger_ms", "max_batch_size", "max_request_size"}

COMPRESSIONS = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}
"""Which exist, and whether what they need is installed."""

log = logging.getLogger(__name__)


class KafkaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect: aiokafka's own options by name, the secrets apart, and for how long to try."""

    client: dict[str, Any] = {}
    password: str | None = None
    key_password: str | None = None
    timeout_s: float = 10.0


class KafkaTopic:
    """One topic of one cluster, and the arguments that every client of it is built with; `configs` where it is created.

    Raises SourceError for an address that is none, and for options that aiokafka does not have or that are secrets.
    """

    def __init__(self, place: str, options: KafkaOptions, configs: Mapping[str, str] | None = None) -> None:
        servers, _, self.name = place.removeprefix("//").partition("/")
        self.servers = servers.split(",")
        if not all(_SERVER.fullmatch(server) for server in self.servers) or not _TOPIC.fullmatch(self.name):
            raise SourceError(f"kafka:{place}: expected kafka://HOST:PORT[,HOST:PORT...]/TOPIC")
        self.timeout_s = options.timeout_s
        self._configs = dict(configs or {})
        self.said = f"kafka://{servers}/{self.name}"
        given = self._checked(options)
        common = {"bootstrap_servers": self.servers, **{key: given[key] for key in _ALL & given.keys()}}
        common |= _secrets(given, options)
        self.for_reading = common | {key: given[key] for key in _READING & given.keys()}
        self.for_joining = {key: given[key] for key in _JOINING & given.keys()}
        self.for_writing = common | {key: given[key] for key in _WRITING & given.keys()}
        self.for_asking = common

    def partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.name, number)

    def error(self, what: str, error: BaseException) -> SourceError:
        """What aiokafka raised, in our words: with the last thing that it said about the reason."""
        heard = last_words().said
        if isinstance(error, TimeoutError):
            reason = f"no answer within {self.timeout_s:g} s{heard and f' ({heard})'}"
        elif isinstance(error, KafkaConnectionError) and heard:
            reason = heard
        else:
            reason = str(error) or type(error).__name__
        return SourceError(f"{self.said}: {what}: {reason}")

    async def look_up(self, partitions: int | None) -> tuple[Position, Position]:
        """Where each partition begins and ends. Creates the topic only where `partitions` says how many it shall have.

        Raises SourceError when the broker does not answer, when the topic is missing, or has another number of them.
        """
        last_words().said = ""
        try:
            async with asyncio.timeout(self.timeout_s), self.consumer() as consumer:
                numbers = consumer.partitions_for_topic(self.name)
                if not numbers:
                    numbers = await self._created(consumer, partitions)
                if partitions is not None and len(numbers) != partitions:
                    raise SourceError(
                        f"{self.said} has {len(numbers)} partitions, not {partitions}: unset source.partitions, or name"
                        " another topic"
                    )
                return await self.bounds(consumer)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            raise self.error(
                "cannot be opened; is the broker there, and are its address and source.kafka right?", error
            ) from error

    async def bounds(self, consumer: AIOKafkaConsumer) -> tuple[Position, Position]:
        """Per partition, the first offset that is kept, and the one that follows the last readable record."""
        places = [self.partition(number) for number in sorted(consumer.partitions_for_topic(self.name) or ())]
        if not places:
            raise SourceError(f"{self.said}: the topic is gone; create it again, or name another one")
        start, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return {p.partition: start[p] for p in places}, {p.partition: end[p] for p in places}

    async def connected(self, start: Callable[[], Awaitable[Client]]) -> Client:
        """What `start` gives, tried again while no broker takes connections. Whoever calls bounds the time."""
        while True:
            try:
                return await start()
            except KafkaConnectionError:
                await asyncio.sleep(RETRY_S)

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer that is in no group, remembers nothing, and knows the cluster. Its end is bounded in time."""
        consumer = AIOKafkaConsumer(
            **self.for_reading,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        calm(consumer._client)
        try:
            await consumer.start()
            await know_all_topics(consumer._client)
            yield consumer
        finally:
            await bounded(consumer.stop())

    async def _created(self, consumer: AIOKafkaConsumer, partitions: int | None) -> set[int]:
        if partitions is None:
            raise SourceError(
                f"{self.said}: there is no such topic; set source.partitions (join.partitions for those of [join]) to"
                " have it created with that many, or create it with Kafka's own tools"
            )
        await self._create(partitions)
        while not (numbers := self._led(consumer)):
            await asyncio.sleep(0.05)
            await know_all_topics(consumer._client)
        log.info("%s: created with %d partitions", self.said, partitions)
        return numbers

    async def _create(self, partitions: int) -> None:
        admin = AIOKafkaAdminClient(**self.for_asking)
        try:
            await admin.start()
            # -1: as many replicas as the brokers say; aiokafka takes it only beside assignments, and none are as well.
            new_topic = NewTopic(self.name, partitions, -1, replica_assignments={}, topic_configs=self._configs)
            response = await admin.create_topics([new_topic])
        finally:
            await bounded(admin.close())
        for _, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise SourceError(f"{self.said}: cannot be created: {rest[0] if rest and rest[0] else error.__name__}")

    def _led(self, consumer: AIOKafkaConsumer) -> set[int]:
        """All partitions, once each has a leader."""
        numbers: set[int] = set(consumer.partitions_for_topic(self.name) or ())
        leaders = [consumer._client.cluster.leader_for_partition(self.partition(number)) for number in numbers]
        return set() if None in leaders or -1 in leaders else numbers

    def _checked(self, options: KafkaOptions) -> dict[str, Any]:
        known = _ALL | _READING | _JOINING | _WRITING | _FILES.keys()
        for name in options.client:
            if name in _SECRETS:
                secret = _SECRETS[name]
                raise SourceError(f"source.kafka.{name} is a secret; set {secret} or {secret}_FILE instead")
            if name not in known:
                raise SourceError(f"source.kafka.{name}: unknown option; expected one of {', '.join(sorted(known))}")
        compression = options.client.get("compression_type")
        if compression is not None and not COMPRESSIONS.get(str(compression), lambda: False)():
            usable = ", ".join(name for name, is_there in COMPRESSIONS.items() if is_there())
            raise SourceError(f"source.kafka.compression_type: {compression!r} cannot be used here, only {usable}")
        return options.client


def _secrets(given: dict[str, Any], options: KafkaOptions) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if options.password is not None:
        arguments["sasl_plain_password"] = options.password
    if given.get("security_protocol") in ("SSL", "SASL_SSL"):
        files = {name: given[key] for key, name in _FILES.items() if key in given}
        try:
            arguments["ssl_context"] = create_ssl_context(**files, password=options.key_password)
        except (OSError, ValueError) as error:
            raise SourceError(f"source.kafka: {files or 'ssl'} cannot be used: {error}") from error
    return arguments


def know_all_topics(client: AIOKafkaClient) -> Awaitable[bool]:
    """Learn about topics without naming one, now and from here on: brokers create topics that are asked for by name."""
    learnt: Awaitable[bool] = client.set_topics([])
    return learnt


def calm(client: AIOKafkaClient) -> None:
    """Have a client pause after it could not learn about the cluster.

    aiokafka's consumers ask again at once where no partition has a leader, as after a broker was stopped: thousands of
    times a second, as long as its address refuses connections.
    """
    update = client._metadata_update

    async def updating(*what: Any) -> bool:
        is_updated: bool = await update(*what)
        if not is_updated:
            await asyncio.sleep(RETRY_S)
        return is_updated

    client._metadata_update = updating


async def bounded(goodbye: Coroutine[object, object, object]) -> None:
    """Close something of aiokafka; a broker that is gone cannot hold it up.

    In a task of its own: where the broker is away, aiokafka's fetcher awaits what it has cancelled, and so cancels us.
    """
    closing = asyncio.create_task(goodbye)
    try:
        await asyncio.wait([closing], timeout=CLOSE_S)
    finally:
        closing.cancel()
    await asyncio.wait([closing], timeout=CLOSE_S)
    if closing.done() and not closing.cancelled() and (error := closing.exception()) is not None:
        with contextlib.suppress(KafkaError, OSError):
            raise error


class LastWords(logging.Handler):
    """Listens to aiokafka, which logs each failed attempt and raises without the reason. Keeps the last one."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("%s: %s", record.name, record.getMessage())
        if record.levelno >= logging.WARNING:
            self.said = record.getMessage()


def last_words() -> LastWords:
    """The one listener, which also keeps aiokafka from the log: our sources say once what has changed."""
    theirs = logging.getLogger("aiokafka")
    for handler in theirs.handlers:
        if isinstance(handler, LastWords):
            return handler
    listener = LastWords()
    theirs.addHandler(listener)
    theirs.propagate = False
    return listener
