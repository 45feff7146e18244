"""What the join asks Faust for again; and what goes wrong then is told by what it is."""

import logging
from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP, TableT

from stream_app.faust_consumer import JoinApp
from stream_app.faust_join import JoinTables
from stream_app.in_order import InOrder
from stream_app.sources.kafka_topic import KafkaOptions, KafkaTopic

PLACE = TP("labels", 0)


class Asked:
    """A consumer that has more, and raises when it is asked where that begins."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.times = 0

    def highwater(self, place: TP) -> int:
        return 10

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        self.times += 1
        raise self._error


def stuck(consumer: Asked) -> JoinTables:
    """Of an app whose partition is certainly its own, and of which nothing comes."""
    order = InOrder[TP]()
    order.begin(PLACE, 3)
    order.stuck({PLACE: 10})
    ours = SimpleNamespace(is_active=lambda: True)
    app = SimpleNamespace(consumer=consumer, order=order, flow_control=ours, lease=SimpleNamespace(is_held=True))
    topic = KafkaTopic("//127.0.0.1:1/changelog", KafkaOptions())
    return JoinTables(cast(JoinApp, app), cast("TableT[bytes, bytes]", None), topic)


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [(KafkaConnectionError("away"), False), (ConsumerNotStarted("gone"), False), (RuntimeError("a defect"), True)],
)
async def test_what_cannot_be_asked_for_again_is_asked_the_next_time_and_a_defect_shows_where_it_is(
    error: Exception, has_traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = Asked(error)
    tables = stuck(consumer)
    with caplog.at_level(logging.INFO, "stream_app"):
        await tables.ask_again()
        await tables.ask_again()
    assert consumer.times == 2
    assert str(error) in caplog.text
    assert ("Traceback" in caplog.text) == has_traceback
