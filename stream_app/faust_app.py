"""The Faust worker: the label join over the partitions that are its own, and the service, in one process and loop.

Run by `weir worker`, or by `faust -A stream_app.faust_app worker` with the weir.toml of the current folder.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.types import StreamT, TableT
from mode.types import ServiceT

from stream_app import wiring
from stream_app.config import load
from stream_app.faust_consumer import JoinApp
from stream_app.faust_join import JoinTables, gather, join_gathered
from stream_app.faust_settings import app_id_of, configuration
from stream_app.join_records import JoinRecords
from stream_app.join_topics import JoinTopics, open_changelog, open_topics
from stream_app.joining import Joining
from stream_app.label_join import LabelJoin
from stream_app.learning import Learning
from stream_app.settings import Settings
from stream_app.sources.source import SourceError

LOGGERS = (
    "faust", "mode", "stream_app.faust_app", "stream_app.faust_consumer", "stream_app.faust_join",
    "stream_app.faust_recovery", "stream_app.learning",
)  # fmt: skip
"""What Faust logs by; among them those of our subclasses, which mode names by their modules."""

TABLE = "labels"
ROCKSDB = {
    "driver": "rocksdict",
    "block_cache_size": 32 << 20,
    "write_buffer_size": 16 << 20,
    "max_write_buffer_number": 2,
}


class _Boot(BootStrategy):
    """Our service first: it answers while tables recover, and ends last.

    Faust's own web server is off, whatever the command line says: it would show our tables and route to them.
    """

    enable_web = False

    def server(self) -> Iterable[ServiceT]:
        return [cast("Worker", self.app).learning, *super().server()]


class Worker(JoinApp):
    """A Faust app of which the service is a part. `end` has it stop; `run` runs it."""

    BootStrategy = _Boot
    learning: Learning
    topics_joined: JoinTopics

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.is_ended = asyncio.Event()
        self.failure: BaseException | None = None

    def end(self, failure: BaseException | None = None) -> None:
        """Have the worker stop; `failure` is why, where it is not on request."""
        self.failure = self.failure or failure
        self.is_ended.set()
        root = self.beacon.root
        if root is not None and isinstance(root.data, faust.Worker):  # Faust's own command runs us, not `run`
            if failure is not None:
                self.add_future(self.crash(failure))
            root.data._on_sigterm()


def build_app(settings: Settings) -> Worker:
    """The app for these settings: asks the broker for the topics of `[join]`, and creates its changelog.

    Raises ConfigError where there is no join to do, SourceError where a topic cannot be opened.
    """
    learner = wiring.build_learner(settings)
    format_ = wiring.build_format(settings, learner.traits)
    topics = open_topics(settings, format_)
    partitions = len(topics.predictions.end())
    app_id = app_id_of(settings.model.name)
    changelog = open_changelog(settings, f"{app_id}-{TABLE}-changelog", partitions)
    Path(settings.state.dir).mkdir(parents=True, exist_ok=True)
    app = Worker(
        app_id, broker_credentials=_credentials(changelog.for_asking), **configuration(settings, changelog, partitions)
    )
    table: TableT[bytes, bytes] = app.Table(
        TABLE, key_type=bytes, value_type=bytes, partitions=partitions, options=dict(ROCKSDB)
    )
    tables = JoinTables(app, table, changelog)
    topics.fence(tables.may_write)
    app.topics_joined = topics
    join = LabelJoin(format_, settings.join.wait_s, settings.events.max_bytes)
    joining = Joining(topics, tables, join, JoinRecords(format_, partitions))
    app.learning = Learning(settings, joining, app.end)
    labels = str(settings.join.labels)

    @app.agent(
        app.topic(str(settings.join.predictions), labels, value_type=bytes, allow_empty=True),
        name="label_join",
        concurrency=1,
    )
    async def label_join(stream: StreamT[bytes]) -> None:
        try:
            await gather(stream, lambda gathered: join_gathered(gathered, tables, joining, labels))
        except Exception as error:  # noqa: BLE001 one that left an agent would be followed by the next events
            app.end(SourceError(f"the label join failed, and acknowledged nothing of it: {error!r}"))
            await asyncio.Event().wait()

    return app


def _credentials(client: dict[str, Any]) -> Any:
    """The same that our own clients connect with, in Faust's words."""
    protocol, context = client.get("security_protocol", "PLAINTEXT"), client.get("ssl_context")
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    if client.get("sasl_mechanism") == "GSSAPI":
        return faust.GSSAPICredentials(
            kerberos_service_name=client.get("sasl_kerberos_service_name", "kafka"),
            kerberos_domain_name=client.get("sasl_kerberos_domain_name"),
            ssl_context=context,
            mechanism="GSSAPI",
        )
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=client.get("sasl_plain_username"),
            password=client.get("sasl_plain_password"),
            ssl_context=context,
            mechanism=client.get("sasl_mechanism", "PLAIN"),
        )
    return None


async def run(app: Worker, stopping: Callable[[], None]) -> None:
    """Run the worker until SIGTERM or SIGINT. Raises what ended it before; SourceError where that was Faust's.

    `stopping` is called when the service has ended, its last checkpoint taken: what is left is saying goodbye, which
    may never end where the broker is away. `app.failure` says by then what ended it, if anything did.
    """
    starting = asyncio.create_task(app.start())
    ended, crashed = asyncio.create_task(app.is_ended.wait()), asyncio.create_task(app._crashed.wait())
    try:
        await asyncio.wait([starting, ended, crashed], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
        await asyncio.wait([ended, crashed], return_when=asyncio.FIRST_COMPLETED)
        _note_crash(app)
    except BaseException as error:
        app.failure = app.failure or error
        raise
    finally:
        for task in (starting, ended, crashed):
            task.cancel()
        await app.learning.stop()
        stopping()
        await asyncio.gather(starting, ended, crashed, return_exceptions=True)
        await app.stop()
        await app.topics_joined.close()
    _note_crash(app)
    if app.failure is not None:
        raise app.failure


def _note_crash(app: Worker) -> None:
    """What ended Faust is the failure, where nothing else was before."""
    if app.failure is None and app.crash_reason is not None:
        app.failure = SourceError(f"the Faust worker ended: {app.crash_reason!r}")
        app.failure.__cause__ = app.crash_reason


def __getattr__(name: str) -> Worker:
    if name == "app":
        globals()["app"] = app = build_app(load())
        return app
    raise AttributeError(name)
