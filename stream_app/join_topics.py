"""The topics of a label join: opened, created where that was asked for, and checked against each other."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from formats.format import Format
from stream_app import wiring
from stream_app.lease import MayWrite
from stream_app.settings import ConfigError, Settings
from stream_app.sources.source import Source

if TYPE_CHECKING:
    from stream_app.sources.kafka_topic import KafkaTopic

MOST_RECORDS = 500
"""Records joined at once: so many events may be appended again after a kill, for the dedupe window to drop."""

WHATEVER_FITS_BYTES = 64 << 20
"""What others wrote fits into the topic, and so do its parts; our own records are bounded before."""


class JoinTopics(msgspec.Struct):
    """The four topics of a join, opened."""

    events: Source
    predictions: Source
    labels: Source
    dead_letters: Source

    def fence(self, may_write: MayWrite) -> None:
        """From now on append only while this is so."""
        from stream_app.sources.kafka import KafkaSource  # loads aiokafka: only users of Kafka should wait for that

        for topic in (self.events, self.predictions, self.labels, self.dead_letters):
            if isinstance(topic, KafkaSource):
                topic.fence(may_write)

    async def close(self) -> None:
        """Let go of all of them."""
        topics = (self.events, self.predictions, self.labels, self.dead_letters)
        await asyncio.gather(*[topic.close() for topic in topics])


def open_topic(settings: Settings, name: str) -> Source:
    """A topic of `[join]`, on the cluster of `source.url`. Raises SourceError where it cannot be opened."""
    return wiring.build_topic(settings, _place(settings, name), settings.join.partitions, WHATEVER_FITS_BYTES)


def open_topics(settings: Settings, format_: Format) -> JoinTopics:
    """The four topics of a join. Raises ConfigError where there is none, or its topics do not fit each other."""
    join = settings.join
    if join.predictions is None or join.labels is None or join.dead_letters is None:
        raise ConfigError(
            "join.predictions: required for a worker, as join.labels and join.dead_letters are: the names of the"
            " topics to join; a service that joins on its own machine is `weir serve`"
        )
    if settings.dedupe_window < 2 * MOST_RECORDS:
        raise ConfigError(
            f"events.dedupe_window: {settings.dedupe_window} is too small for a join, which may append"
            f" {MOST_RECORDS} events again after a kill: set it to at least {2 * MOST_RECORDS}"
        )
    topics = [open_topic(settings, name) for name in (join.predictions, join.labels, join.dead_letters)]
    predictions, labels = len(topics[0].end()), len(topics[1].end())
    if predictions != labels:
        raise ConfigError(
            f"join.labels: {join.labels!r} has {labels} partitions, and {join.predictions!r} has {predictions}: an id"
            " must be in the partition of the same number in both; create one of them anew"
        )
    return JoinTopics(wiring.build_source(settings, format_), *topics)


def open_changelog(settings: Settings, name: str, partitions: int) -> "KafkaTopic":
    """The topic in which a join keeps its state, created where it is missing, as durable as the cluster makes topics.

    Raises SourceError where it cannot be, or has another number of partitions.
    """
    from stream_app.sources.kafka_topic import KafkaTopic  # loads aiokafka: only users of Kafka should wait for that

    topic = KafkaTopic(_place(settings, name), wiring.kafka_options(settings), {"cleanup.policy": "compact"})
    with ThreadPoolExecutor(1) as thread:  # whoever opens it may stand in a running loop
        thread.submit(asyncio.run, topic.look_up(partitions)).result()
    return topic


def _place(settings: Settings, name: str) -> str:
    return f"{wiring.source_place(settings)[1].rpartition('/')[0]}/{name}"
