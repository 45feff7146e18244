"""Batches joined for good, over topics and tables in memory: what goes where, in which order, and what failures do."""

import asyncio
import base64
import json
import zlib
from collections.abc import Sequence

import pytest
from joined_records import FORMAT, completed, label, lines, new_join, payload
from kafka_broker import tasks_left

from stream_app.join_records import Incoming, JoinRecords
from stream_app.join_topics import JoinTopics
from stream_app.joining import Joining
from stream_app.label_join import State
from stream_app.lease import Lease, MayWrite
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import SourceFull


class Topic(MemorySource):
    """A topic in memory that fails the first appends."""

    def __init__(self, story: list[str], name: str) -> None:
        super().__init__()
        self.records: list[tuple[bytes | None, bytes]] = []
        self.failures = 0
        self._story, self._name = story, name

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        if self.failures:
            self.failures -= 1
            raise SourceFull(f"{self._name} is away")
        self._story.append(self._name)
        self.records += zip(keys or [], payloads, strict=True)
        return await super().append(payloads, keys)


class Tables:
    """States in dicts; `leave_after` writes or questions, the partitions go to somebody else."""

    problem: str | None = None
    lost_records = 0

    def __init__(self, story: list[str]) -> None:
        self.states: dict[int, dict[bytes, bytes]] = {}
        self.failures = 0
        self.left = 1 << 30
        self._story = story

    def state(self, partition: int) -> State:
        return self.states.setdefault(partition, {}).get

    async def write(self, partition: int, changes: dict[bytes, bytes | None], may_write: MayWrite) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self._story.append("table")
        for key, value in changes.items():
            if value is None:
                self.states[partition].pop(key, None)
            else:
                self.states[partition][key] = value

    def partitions(self) -> list[int]:
        return list(self.states)

    def is_ours(self) -> bool:
        self.left -= 1
        return self.left >= 0


class Join:
    """A join over one or more partitions, and what it wrote."""

    def __init__(self, partitions: int = 1) -> None:
        self.story: list[str] = []
        names = ("events", "predictions", "labels", "dead_letters")
        self.events, self.predictions, self.labels, self.dead = [Topic(self.story, name) for name in names]
        self.tables = Tables(self.story)
        topics = JoinTopics(self.events, self.predictions, self.labels, self.dead)
        self.joining = Joining(topics, self.tables, new_join(), JoinRecords(FORMAT, partitions))

    async def take(self, *batch: Incoming) -> bool:
        return await self.joining.take(batch, self.tables.is_ours)

    def reasons(self) -> list[str]:
        return [json.loads(letter)["reason"] for _, letter in self.dead.records]


def predicted(value: bytes, key: bytes | None, partition: int = 0) -> Incoming:
    return Incoming(False, partition, 7, key, value, 0.0)


def labelled(value: bytes, key: bytes | None = None, partition: int = 0) -> Incoming:
    return Incoming(True, partition, 8, key, value, 0.0)


async def test_the_event_is_durable_before_the_table_says_so() -> None:
    join = Join()
    assert await join.take(predicted(payload(1), b"e1"), labelled(label(1)))
    assert join.story == ["events", "table"]
    assert join.events.records == [(b"e1", completed(1))]
    assert join.joining.figures()["joined"] == 1


@pytest.mark.parametrize("where", ["events", "table"])
async def test_what_cannot_be_written_is_tried_again_and_told(where: str) -> None:
    join = Join()
    (join.events if where == "events" else join.tables).failures = 2
    taking = asyncio.create_task(join.take(predicted(payload(1), b"e1"), labelled(label(1))))
    async with asyncio.timeout(240):
        while join.joining.problem is None:  # noqa: ASYNC110 what it waits for is a word
            await asyncio.sleep(0)
    assert not taking.done()
    assert await taking
    assert join.story == ["events", "table"]
    assert join.joining.problem is None


@pytest.mark.parametrize("questions", range(3))
async def test_partitions_that_have_gone_are_not_marked(questions: int) -> None:
    join = Join()
    join.tables.left = questions
    assert not await join.take(predicted(payload(1), b"e1"), labelled(label(1)))
    assert "table" not in join.story
    assert join.joining.figures()["joined"] == 0


async def test_a_write_that_fails_for_good_leaves_none_of_its_siblings_behind() -> None:
    join = Join(partitions=2)
    here = [payload(n) for n in range(20)]
    batch = [predicted(value, f"e{n}".encode(), zlib.crc32(f"e{n}".encode()) % 2) for n, value in enumerate(here)]
    join.tables.failures, join.tables.left = 2, 4  # both writes wait; one question later the partitions have gone
    assert not await join.take(*batch)
    assert join.tables.states == {0: {}, 1: {}}
    assert join.joining.problem is None
    assert tasks_left() == []


async def test_what_one_write_waits_for_is_told_though_another_succeeds() -> None:
    join = Join(partitions=2)
    ids = [next(n for n in range(20) if zlib.crc32(f"e{n}".encode()) % 2 == part) for part in range(2)]
    join.tables.failures = 1
    taking = asyncio.create_task(
        join.take(*[predicted(payload(n), f"e{n}".encode(), part) for part, n in enumerate(ids)])
    )
    async with asyncio.timeout(240):
        while join.story != ["table"]:  # noqa: ASYNC110 what it waits for is a list
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "disk full" in str(join.joining.problem)
    assert await taking
    assert join.joining.problem is None


def test_a_lease_lapses_unless_it_is_renewed_and_counts_from_the_question() -> None:
    clock = [100.0]
    lease = Lease(6.0, lambda: clock[0])
    assert not lease.is_held
    lease.renew(99.0)
    clock[0] = 104.9
    assert lease.is_held
    clock[0] = 105.0
    assert not lease.is_held
    lease.renew(105.0)
    lease.drop()
    assert not lease.is_held


async def test_a_record_in_the_wrong_partition_is_appended_again_with_its_id() -> None:
    join = Join(partitions=2)
    wrong = 1 - zlib.crc32(b"e1") % 2
    await join.take(predicted(payload(1), b"e1", wrong), labelled(label(1), b"other", wrong))
    assert join.predictions.records == [(b"e1", payload(1))]
    assert join.labels.records == [(b"e1", label(1))]
    assert join.joining.figures()["forwarded"] == 2
    assert join.tables.states == {}


@pytest.mark.parametrize("is_array", [False, True])
async def test_envelopes_are_taken_apart_and_their_parts_appended_with_their_ids(is_array: bool) -> None:
    join = Join()
    events, labels = [payload(n) for n in range(3)], [label(n) for n in range(3)]
    pack = (lambda parts: b"[" + b",".join(parts) + b"]") if is_array else lines
    await join.take(predicted(pack(events), b"any"), labelled(pack(labels)))
    assert [(key, json.loads(value)) for key, value in join.predictions.records] == [
        (f"e{n}".encode(), json.loads(payload(n))) for n in range(3)
    ]
    assert [(key, json.loads(value)) for key, value in join.labels.records] == [
        (f"e{n}".encode(), json.loads(label(n))) for n in range(3)
    ]


async def test_a_prediction_without_a_key_has_the_id_of_its_event() -> None:
    join = Join()
    await join.take(predicted(payload(1), None), labelled(label(1)))
    assert join.events.records == [(b"e1", completed(1))]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (predicted(b"", b"e1"), "no event in it"),
        (predicted(b"{", None), "unexpected end"),
        (predicted(b'{"features": {}}', None), "[0].id: required"),
        (predicted(payload(1) + b"\n{}", None), "[1]"),
        (predicted(b"[[]]", b"x"), "list"),
        (predicted(b'{"id": "x", "features": 3}', b"x"), "features"),
        (labelled(b""), "expected"),
        (labelled(b'{"id": "a"}'), "label"),
        (labelled(b'{"id": "a", "label": 1, "more": 2}'), "more"),
        (labelled(label(1) + b"\nno"), "expected"),
        (labelled(b"[]"), "no label in it"),
        (labelled(b"\xff\xfe"), "expected"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes(record: Incoming, reason: str) -> None:
    join = Join()
    await join.take(record)
    (_, letter), shown = join.dead.records[0], json.loads(join.dead.records[0][1])
    assert reason in shown["reason"], letter
    assert base64.b64decode(shown["payload_base64"]) == record.value
    assert (shown["topic"], shown["partition"], shown["offset"]) == (
        ("labels" if record.is_label else "predictions"),
        0,
        record.offset,
    )
    assert join.joining.figures()["undecodable"] == 1


async def test_a_huge_dead_letter_is_cut_and_says_its_size() -> None:
    join = Join()
    await join.take(labelled(b"x" * (1 << 20)))
    shown = json.loads(join.dead.records[0][1])
    assert shown["size_bytes"] == 1 << 20
    assert len(join.dead.records[0][1]) < 1_000_000
