"""Checkpoints that are damaged, refused, or say what was learnt: all from outside."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from weir_process import Weir, append, closing, records_of, refused, synthetic, wait_for

from stream_app.sources.embedded_log import EmbeddedLog

EVENTS = synthetic(3_000)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("part", "damage"), [("learner", truncated), ("learner", flipped), ("dedupe", flipped), ("MODEL.json", truncated)]
)
def test_a_damaged_checkpoint_is_refused_by_name_wherever_it_is_asked_for(
    part: str, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    service = Weir(tmp_path).start()
    with closing(service):
        service.post("/events", b"\n".join(EVENTS[:500]))
        service.wait_learnt(500)
        bad = service.checkpoint()
        damage(service.checkpoints / "objects" / bad / part)
        asked = [service.get(f"/checkpoints/{bad[7:23]}"), service.post("/rollback", {"id": bad})]
        for answer in asked:
            assert (answer.status, answer.body["error"]["code"]) == (409, "checkpoint_damaged")
            assert bad in answer.body["error"]["message"]
        assert service.status()["checkpoint"] == bad
        service.kill()
    verified = service.command("checkpoints", "verify")
    assert (verified.code, bad in verified.out) == (1, True)
    assert bad in refused("serve", "-c", str(service.toml), "--port", "0")


@pytest.mark.parametrize("partitions", [1, 3])
async def test_the_manifest_proves_what_was_learnt_since_the_parent(partitions: int, tmp_path: Path) -> None:
    service = Weir(tmp_path, source={"batch": 41}, checkpoints={"every_events": 600, "keep": 100})
    await append(service.log, EVENTS, partitions, each=130)
    with closing(service):
        for learnt in (1_000, 2_500):
            service.start()
            service.wait_examples(learnt)
            service.kill()
        service.start().wait_learnt(len(EVENTS))
        assert service.stop() == 0
    await check_lineage(service)


async def check_lineage(service: Weir) -> None:
    """Follow parents from HEAD to the beginning, and hash the records of each stretch in the order it names."""
    records = await records_of(service.log)
    model_id: str | None = service.head()
    learnt = 0
    while model_id is not None:
        manifest = service.manifest(model_id)
        parent = service.manifest(manifest.parent).position if manifest.parent is not None else {}
        stretch = b"".join(payload + b"\n" for payload in in_order(service.blob("order", model_id), parent, records))
        assert manifest.since_parent.sha256 == hashlib.sha256(stretch).hexdigest()
        assert manifest.since_parent.records == stretch.count(b"\n")
        learnt += manifest.since_parent.records
        model_id = manifest.parent
    assert learnt == len(EVENTS)


def in_order(order: bytes, position: dict[int, int], records: dict[int, list[bytes]]) -> list[bytes]:
    offsets = dict(position)
    found: list[bytes] = []
    for partition, count in msgspec.msgpack.decode(order, type=list[tuple[int, int]]):
        first = offsets.get(partition, 0)
        offsets[partition] = first + count
        found += records[partition][first : first + count]
    return found


def envelope_records(seed: int) -> list[bytes]:
    """Envelopes of 1 to 60 events without ids, one in seven with a bad event in it, as arrays and as lines."""
    chance = random.Random(seed)
    records, remaining = [], [without_id(event) for event in synthetic(20_000)]
    while remaining:
        size = chance.randrange(1, 61)
        events, remaining = remaining[:size], remaining[size:]
        if len(records) % 7 == 3:
            events.insert(chance.randrange(len(events) + 1), b'{"label": "YES", "features": {}}')
        records.append(b"[" + b",".join(events) + b"]" if len(records) % 2 else b"\n".join(events))
    return records


def without_id(payload: bytes) -> bytes:
    event = json.loads(payload)
    del event["id"]
    return json.dumps(event).encode()


def is_whole(record: bytes) -> bool:
    return b"YES" not in record


def size_of(record: bytes) -> int:
    return record.count(b'"label"')


async def test_envelopes_are_learnt_whole_or_not_at_all_around_kills(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"checkpoints": {"every_events": 30}, "source": {"batch": 7}}
    records = envelope_records(5)
    service, clean = Weir(tmp_path / "killed", **settings), Weir(tmp_path / "clean", **settings)
    await append(service.log, records, each=20)
    await append(clean.log, [record for record in records if is_whole(record)])
    with closing(service, clean):
        for learnt in range(60, len(records), 200):
            service.start()
            wait_for(lambda learnt=learnt: service.status()["position"].get("0", 0) >= learnt)
            service.kill()
        status = service.start().wait_learnt(len(records))
        clean.start().wait_learnt(1)
        assert service.stop() == clean.stop() == 0
    assert status["examples"] == sum(size_of(record) for record in records if is_whole(record))
    assert status["dead_letters"] == sum(not is_whole(record) for record in records)
    assert service.blob("learner") == clean.blob("learner")


async def test_the_dedupe_window_survives_kills(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"every_events": 100})
    with closing(service):
        for round_number in range(3):
            service.start().post("/events", b"\n".join(EVENTS[:700]))
            status = service.wait_learnt(700 * (round_number + 1))
            service.kill()
    assert (status["examples"], status["duplicates"]) == (700, 1_400)


def test_sigterm_takes_a_checkpoint_of_everything_learnt_and_ends_with_0(tmp_path: Path) -> None:
    service = Weir(tmp_path).start()
    with closing(service):
        service.post("/events", b"\n".join(EVENTS[:345]))
        service.wait_learnt(345)
        assert service.stop() == 0
        assert service.manifest().position == {0: 345}
        assert service.start().status()["examples"] == 345


def test_stopped_before_anything_was_learnt_it_leaves_no_checkpoint(tmp_path: Path) -> None:
    service = Weir(tmp_path).start()
    with closing(service):
        assert service.stop() == 0
    assert not service.checkpoints.exists()


async def test_partitions_that_stay_empty_change_nothing(tmp_path: Path) -> None:
    service, single = Weir(tmp_path / "three"), Weir(tmp_path / "one")
    log = EmbeddedLog(service.log, partitions=3)
    await log.append(EVENTS, [b"one key"] * len(EVENTS))
    await log.close()
    await append(single.log, EVENTS)
    with closing(service, single):
        service.start().wait_learnt(len(EVENTS))
        service.kill()
        service.start().wait_learnt(len(EVENTS))
        single.start().wait_learnt(len(EVENTS))
        assert service.stop() == single.stop() == 0
    assert service.deciding() == single.deciding()


def is_caught_writing(service: Weir) -> bool:
    """Looked for without a pause for a while: what is being written is there for a millisecond."""
    return any(any((service.checkpoints / "tmp").glob("*/*")) for _ in range(1_000))


async def test_a_kill_in_the_middle_of_writing_a_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"every_events": 200}, source={"batch": 50})
    await append(service.log, synthetic(30_000))
    events = 30_000
    with closing(service):
        for _ in range(3):
            service.start()
            while not is_caught_writing(service):
                if not service.status()["lag"]:  # all was learnt while this test waited for its turn
                    assert service.post("/events", b"\n".join(synthetic(10_000, first=events))).status == 202
                    events += 10_000
            service.kill()
            assert service.command("checkpoints", "verify", "--all").code == 0
        assert service.start().wait_learnt(events)["examples"] == events
