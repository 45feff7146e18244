"""Membership by a consumer group: one owner, who stays it while others come and go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from kafka_broker import administering, new_source, tasks_left, topics_of

from stream_app.sources import kafka_group
from stream_app.sources.kafka import KafkaSource
from stream_app.sources.kafka_group import KafkaGroup, Member, OneOwner
from tools.kafka import Broker

QUICK = {"session_timeout_ms": 30_000, "heartbeat_interval_ms": 200}
"""It soon hears what changes. Nobody is missed here: whoever has to wait for a core keeps its turn."""


@pytest.fixture
async def source(own_broker: Broker) -> AsyncIterator[KafkaSource]:
    opened = new_source(own_broker.servers, 3, client=QUICK)
    yield opened
    await opened.close()
    assert tasks_left() == []


@asynccontextmanager
async def joined(source: KafkaSource, folder: Path) -> AsyncIterator[KafkaGroup]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    group = source.group("models", "m", folder)
    await group.open()
    try:
        yield group
    finally:
        await group.close()


async def until(group: KafkaGroup, *others: KafkaGroup) -> int:
    """Wait until it is the turn of the first."""
    while not group.turn:
        for member in (group, *others):
            await member.beat()
        await group.wait()
    return group.turn


def claims(**members: int) -> dict[str, object]:
    return {name: OneOwner(Member(name, claim)).metadata(["t"]) for name, claim in members.items()}


class Cluster:
    """What an assignor is told of topics."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {2, 0, 1}


@pytest.mark.parametrize(
    ("members", "owner"),
    [({"b": 0, "a": 0}, "a"), ({"a": 0, "b": 3}, "b"), ({"a": 3, "b": 7, "c": 0}, "b"), ({"z": 0}, "z")],
)
def test_everything_goes_to_the_latest_claim_or_the_first_name(members: dict[str, int], owner: str) -> None:
    given = OneOwner(Member("x")).assign(Cluster(), claims(**members))  # type: ignore[arg-type]
    assert given.keys() == members.keys()
    assert {name: assignment.assignment for name, assignment in given.items() if assignment.assignment} == {
        owner: [("t", [0, 1, 2])]
    }


async def test_who_comes_later_stands_by_and_gets_its_turn_when_the_owner_leaves(
    source: KafkaSource, tmp_path: Path
) -> None:
    async with joined(source, tmp_path / "b") as second, joined(source, tmp_path / "a") as first:
        while not first.turn and not second.turn:
            await first.wait()
        owner, other = (first, second) if first.turn else (second, first)
        turn = owner.turn
        for _ in range(3):
            await owner.beat()
            await other.wait()
        assert (owner.turn, other.turn) == (turn, 0)
        await owner.close()
        assert await until(other) > 0


async def test_who_it_is_and_what_it_claims_outlives_a_restart(source: KafkaSource, tmp_path: Path) -> None:
    async with joined(source, tmp_path) as group:
        await until(group)
        kept = msgspec.json.decode((tmp_path / "member.json").read_bytes(), type=Member)
        assert kept.claim == group.turn
    (tmp_path / "member.json").write_bytes(b"{")
    async with joined(source, tmp_path) as group:
        await until(group)
    assert msgspec.json.decode((tmp_path / "member.json").read_bytes(), type=Member).instance != kept.instance


async def test_positions_noted_are_committed_for_those_who_look_at_the_group(
    own_broker: Broker, source: KafkaSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_group, "CLOSE_S", 600.0)  # else a broker that answers late is not waited for
    await source.append([b"a"] * 5)
    async with joined(source, tmp_path) as group:
        await until(group)
        group.note({0: 5, 1: 0})
    (place, other) = (source._topic.partition(number) for number in (0, 1))
    consumer = AIOKafkaConsumer(bootstrap_servers=own_broker.servers, group_id="models", enable_auto_commit=False)
    await consumer.start()
    assert [await consumer.committed(one) for one in (place, other)] == [5, 0]
    await consumer.stop()


async def test_a_topic_that_is_gone_is_not_created_by_joining(own_broker: Broker, tmp_path: Path) -> None:
    opened = new_source(own_broker.servers, 1, client=QUICK)
    name = opened._topic.name
    async with administering(own_broker.servers) as admin:
        await admin.delete_topics([name])
    async with joined(opened, tmp_path) as group:
        for _ in range(2):
            await group.beat()
            await group.wait()
        assert group.turn == 0
        assert name not in await topics_of(own_broker.servers)
    await opened.close()
