"""Poisoned labels and the way back: skipped, or learnt again without them, and neither is undone by a kill."""

from pathlib import Path
from typing import Any

import pytest
from weir_process import Weir, append, closing, synthetic

from checkpoints.manifest import Hole

GOOD, POISON = 3_000, 2_000
EVENTS = [*synthetic(GOOD), *synthetic(POISON, first=GOOD, is_flipped=True), *synthetic(GOOD, first=GOOD + POISON)]
CLEAN = EVENTS[:GOOD] + EVENTS[GOOD + POISON :]
EXCEPT = f"0:{GOOD}-{GOOD + POISON - 1}"
SETTINGS: dict[str, Any] = {"checkpoints": {"every_events": 100_000}}


def poisoned(folder: Path) -> tuple[Weir, str]:
    """A running service that has learnt everything, and the checkpoint from before the poison."""
    service = Weir(folder, **SETTINGS).start()
    before = learn(service, EVENTS[:GOOD], GOOD)
    learn(service, EVENTS[GOOD:], len(EVENTS))
    return service, before


def learn(service: Weir, events: list[bytes], total: int) -> str:
    assert service.post("/events", b"\n".join(events)).status == 202
    service.wait_learnt(total)
    return service.checkpoint()


async def learner_of(folder: Path, events: list[bytes]) -> bytes:
    """What a service that sees nothing but these events has learnt."""
    service = Weir(folder, **SETTINGS)
    await append(service.log, events)
    with closing(service):
        service.start().wait_learnt(len(events))
        assert service.stop() == 0
    return service.blob("learner")


async def test_replayed_without_the_poison_it_never_saw_it(tmp_path: Path) -> None:
    service, before = poisoned(tmp_path / "poisoned")
    with closing(service):
        bad = service.blob("learner")
        recorded = service.rollback(before, "--replay", "--except", EXCEPT)
        assert service.manifest(recorded).except_ == [Hole(partition=0, first=GOOD, last=GOOD + POISON, why="rollback")]
        service.wait_learnt(len(EVENTS))
        last = service.manifest(service.checkpoint())
        assert service.status()["excepted"] == POISON
    assert last.holes == [Hole(partition=0, first=GOOD, last=GOOD + POISON, why="rollback")]
    assert last.except_ == []
    assert service.blob("learner") == await learner_of(tmp_path / "clean", CLEAN) != bad


@pytest.mark.parametrize("partitions", [1, 2])
async def test_a_kill_after_the_answer_or_in_the_replay_does_not_bring_the_poison_back(
    partitions: int, tmp_path: Path
) -> None:
    service = Weir(tmp_path / "poisoned", checkpoints={"every_events": 700, "keep": 1000}, source={"batch": 37})
    after = synthetic(20_000, first=GOOD + POISON)
    await append(service.log, EVENTS[:GOOD], partitions)
    with closing(service):
        service.start().wait_learnt(GOOD)
        before = service.checkpoint()
        place = service.post("/events", b"\n".join(EVENTS[GOOD : GOOD + POISON])).body["positions"][0]
        service.wait_learnt(GOOD + POISON)
        assert service.stop() == 0
        await append(service.log, after, each=900)
        service.start()
        service.rollback(before, "--replay", "--except", f"{place['partition']}:{place['first']}-{place['next'] - 1}")
        for _ in range(3):
            service.kill()
            service.start()
        status = service.wait_learnt(GOOD + POISON + len(after))
        assert service.stop() == 0
    assert status["excepted"] == POISON
    assert [(hole.partition, hole.first, hole.last) for hole in service.manifest().holes] == [tuple(place.values())]
    assert service.blob("learner") == await learner_of(tmp_path / "clean", EVENTS[:GOOD] + after)


async def test_skipped_it_goes_on_at_the_present_position_with_a_hole_on_record(tmp_path: Path) -> None:
    service, before = poisoned(tmp_path / "poisoned")
    with closing(service):
        recorded = service.rollback(before, "--skip")
        assert service.blob("learner") == service.blob("learner", before)
        service.kill()
        more = synthetic(500, first=len(EVENTS))
        learn(service.start(), more, len(EVENTS) + len(more))
    why = f"rolled back to {before} with --skip"
    assert service.manifest().holes == [Hole(partition=0, first=GOOD, last=len(EVENTS), why=why)]
    assert service.manifest().parent == recorded
    assert service.blob("learner") == await learner_of(tmp_path / "clean", EVENTS[:GOOD] + more)


async def test_two_rollbacks_in_a_row_each_count_from_their_own_checkpoint(tmp_path: Path) -> None:
    service, before = poisoned(tmp_path / "poisoned")
    with closing(service):
        first = service.rollback(before, "--replay", "--except", EXCEPT)
        service.rollback(first, "--replay", "--except", f"0:{GOOD + POISON}-{GOOD + POISON + 99}")
        service.wait_learnt(len(EVENTS))
        service.checkpoint()
        assert service.stop() == 0
    expected = EVENTS[:GOOD] + EVENTS[GOOD + POISON + 100 :]
    assert service.blob("learner") == await learner_of(tmp_path / "clean", expected)


async def test_skipping_to_a_checkpoint_ahead_in_another_lineage_learns_nothing_twice(tmp_path: Path) -> None:
    service, before = poisoned(tmp_path / "poisoned")
    with closing(service):
        ahead = service.head()
        service.rollback(before, "--replay", "--except", f"0:{GOOD}-{len(EVENTS) - 1}")
        service.rollback(ahead, "--skip")
        assert service.wait_learnt(len(EVENTS))["examples"] == len(EVENTS)
        assert service.blob("learner", service.checkpoint()) == service.blob("learner", ahead)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--replay", "--except", f"0:{GOOD - 10}-{GOOD + 10}"], "has learnt from 0:2990 already"),
        (["--replay", "--except", "3:0-9"], "there is no partition 3"),
        (["--skip", "--except", "0:3000-3999"], "only a replay"),
        (["--replay", "--except", "3000"], "is not PARTITION:FIRST-LAST"),
    ],
)
def test_what_cannot_be_left_out_is_refused_and_nothing_changes(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    service = Weir(tmp_path, **SETTINGS).start()
    with closing(service):
        before = learn(service, EVENTS[:GOOD], GOOD)
        ran = service.command("rollback", before, *arguments, environment={"WEIR_HTTP_PORT": service.port})
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert said in ran.err
        assert service.head() == before
        assert service.status()["position"] == {"0": GOOD}


def test_a_rollback_to_nothing_that_is_kept_is_answered_at_once(tmp_path: Path) -> None:
    service = Weir(tmp_path, **SETTINGS).start()
    with closing(service):
        before = learn(service, EVENTS[:10], 10)
        answers = {name: service.post("/rollback", {"id": name}).status for name in ("abc", "0" * 64, "", "HEAD")}
        assert answers == {"abc": 400, "0" * 64: 404, "": 400, "HEAD": 400}
        assert service.head() == before


def test_a_rollback_while_a_checkpoint_is_being_written_and_one_of_nothing_learnt(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"every_events": 100}).start()
    with closing(service):
        empty = service.checkpoint()
        assert service.checkpoint() == empty
        service.post("/events", b"\n".join(EVENTS))
        service.rollback(empty, "--replay")
        status = service.wait_learnt(len(EVENTS))
        assert status["examples"] == len(EVENTS)
        assert service.stop() == 0
    assert service.manifest().holes == []


def test_without_a_running_service_the_next_one_goes_on_from_the_rollback(tmp_path: Path) -> None:
    service, before = poisoned(tmp_path)
    with closing(service):
        assert service.stop() == 0
        assert service.command("rollback", before, "--replay", "--except", EXCEPT).code == 0
        assert service.start().wait_learnt(len(EVENTS))["excepted"] == POISON
