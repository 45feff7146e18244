"""`weir` with bad luck: what a loaded machine or broker does now and then happens for certain.

Called with what is to happen, by name, and the arguments of `weir`.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance

from stream_app.cli import main

JOIN_S = 2.0
"""Longer than a fetch waits for records: what it does when it comes back, it does before the group has its answer."""

ANSWER_S = 3.0
"""Longer than joining, shorter than Faust waits for an answer."""

LATE, LATE_S = 2, 12.0
"""Answers, and by how much: longer than Faust waits. From one to the next there is time to see that it waits."""

READS = 20
"""Times that records are asked for before something happens."""


def slow_to_join() -> None:
    """The group takes its time to share out the partitions anew."""
    join = CoordinatorGroupRebalance.perform_group_join

    async def joining(rebalance: CoordinatorGroupRebalance) -> Any:
        await asyncio.sleep(JOIN_S)
        return await join(rebalance)

    CoordinatorGroupRebalance.perform_group_join = joining


def slow_to_answer() -> None:
    """The same, and where partitions begin is told only after they were shared out."""
    slow_to_join()
    beginnings = AIOKafkaConsumer.beginning_offsets

    async def telling(consumer: AIOKafkaConsumer, partitions: Any) -> Any:
        found = await beginnings(consumer, partitions)
        if consumer._group_id is not None:
            await asyncio.sleep(ANSWER_S)
        return found

    AIOKafkaConsumer.beginning_offsets = telling


def answers_too_late() -> None:
    """The first times that a member of a group asks where partitions begin, the answer comes too late."""
    beginnings, asked = AIOKafkaConsumer.beginning_offsets, itertools.count()

    async def telling(consumer: AIOKafkaConsumer, partitions: Any) -> Any:
        found = await beginnings(consumer, partitions)
        if consumer._group_id is not None and next(asked) < LATE:
            await asyncio.sleep(LATE_S)
        return found

    AIOKafkaConsumer.beginning_offsets = telling


def cancellation_let_out() -> None:
    """A client lets out a cancellation of its own when it is asked for records."""
    getmany, asked = AIOKafkaConsumer.getmany, itertools.count()

    async def getting(consumer: AIOKafkaConsumer, *places: Any, **options: Any) -> Any:
        if next(asked) == READS:
            raise asyncio.CancelledError
        return await getmany(consumer, *places, **options)

    AIOKafkaConsumer.getmany = getting


HAPPENS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (slow_to_join, slow_to_answer, answers_too_late, cancellation_let_out)
}

if __name__ == "__main__":
    HAPPENS[sys.argv.pop(1)]()
    main()
