"""How Faust is set up for the label join. Knows no Faust, only the names of its settings."""

import re
import zlib
from pathlib import Path
from typing import Any

from stream_app.settings import Settings
from stream_app.sources.kafka_topic import KafkaTopic

SESSION_S = 10.0
"""A worker that was killed is missed after so long; then others take its partitions."""

LEASE_S = SESSION_S * 2 / 3
"""A worker that the group has not confirmed for so long writes nothing, as others may soon have its partitions."""


def app_id_of(name: str) -> str:
    """The consumer group of a model's join, of characters that a topic's name may have.

    >>> app_id_of("flights"), app_id_of("späte Flüge")
    ('weir.flights.join', 'weir.sp_te_Fl_ge-741a6f6a.join')
    """
    fitting = re.sub(r"[^a-zA-Z0-9._-]", "_", name)[:150]
    return f"weir.{fitting}.join" if fitting == name else f"weir.{fitting}-{zlib.crc32(name.encode()):08x}.join"


def configuration(settings: Settings, topic: KafkaTopic, partitions: int) -> dict[str, Any]:
    """What the guarantees of the join need, for `faust.App`; the credentials come apart."""
    return {
        "broker": [f"kafka://{server}" for server in topic.servers],
        "broker_session_timeout": SESSION_S,
        "broker_commit_interval": 1.0,
        "broker_request_timeout": max(SESSION_S, settings.source.timeout_s),
        "processing_guarantee": "at_least_once",
        "TableManager": "stream_app.faust_recovery:PatientTables",
        "stream_wait_empty": False,  # it waits without an end where the broker is away
        "store": "rocksdb://",
        "datadir": str(Path(settings.state.dir, "join").absolute()),
        "key_serializer": "raw",
        "value_serializer": "raw",
        "topic_partitions": partitions,
        "topic_allow_declare": True,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "producer_acks": -1,
        "producer_max_batch_size": 256 << 10,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }
