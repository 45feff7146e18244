"""`weir` with a worker that stops itself once (SIGSTOP), between its last look at what is its own and the send.

Called with the end of the name of the topic that it is about to write to, and the arguments of `weir`.
"""

import itertools
import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from stream_app.cli import main

STOPS_AT = 4
"""Batches that it sends to that topic before."""


def stop_once_before_sending(where: str) -> None:
    """Have every producer of this process do so."""
    send_batch, sent = AIOKafkaProducer.send_batch, itertools.count()

    async def sending(producer: AIOKafkaProducer, batch: Any, topic: str, *, partition: int) -> Any:
        if topic.endswith(where) and next(sent) == STOPS_AT:
            os.kill(os.getpid(), signal.SIGSTOP)
        return await send_batch(producer, batch, topic, partition=partition)

    AIOKafkaProducer.send_batch = sending


if __name__ == "__main__":
    stop_once_before_sending(sys.argv.pop(1))
    main()
