"""What a member of a consumer group may send and when: its lease is renewed here, and asked right before each send."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaProducer
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.group import HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import RecordMetadata

from stream_app.lease import Lease, MayWrite

_COUNTED_IN = {
    HeartbeatRequest: (NoError.errno, RebalanceInProgressError.errno),  # while it rebalances it counts heartbeats too
    SyncGroupRequest: (NoError.errno,),
}
_THROWN_OUT = (IllegalGenerationError.errno, UnknownMemberIdError.errno)


class NotOursError(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Not sent: another member of the group may have the partition by now. Not to be tried again by the producer."""


async def acknowledged(producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int) -> RecordMetadata:
    """Send a batch, and wait for it. Whoever gives up waiting leaves no failure behind that asyncio calls unheard."""
    future = await producer.send_batch(batch, topic, partition=partition)
    future.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
    await asyncio.wait([future])  # awaited itself it would be cancelled with us, and no longer hear of the batch
    return future.result()


def renewing(send: Callable[[Any], Awaitable[Any]], lease: Lease) -> Callable[[Any], Awaitable[Any]]:
    """What sends a group coordinator's requests, with what its answers say of the lease noted."""

    async def sending(request: Any) -> Any:
        if isinstance(request, LeaveGroupRequest):
            lease.drop()
        asked_at_s = lease.clock()
        response = await send(request)
        code = getattr(response, "error_code", None)
        if code in _COUNTED_IN.get(type(request), ()):
            lease.renew(asked_at_s)
        elif code in _THROWN_OUT:
            lease.drop()
        return response

    return sending


def fence(client: AIOKafkaClient, may_write: MayWrite) -> None:
    """Have a producer's client ask right before the socket, also where it tries again; a refusal is a NotOursError."""
    send = client.send

    async def sending(node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest):
            await client.ready(node, **options)
            if not may_write():
                raise NotOursError("another worker may have the partition by now")
        return await send(node, request, **options)

    client.send = sending
