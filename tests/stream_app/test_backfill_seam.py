"""Where the files end and the live stream begins: no event is missing there, and none is learnt twice."""

import random
from pathlib import Path

import pytest
from backfill_runs import ARGS, backfilled, broken_off, killed_after_a_checkpoint, train, written
from weir_process import Weir, append, closing, synthetic


async def test_what_was_learnt_from_files_and_then_live_is_what_one_stream_would_have_taught(tmp_path: Path) -> None:
    history, during, after = synthetic(3_000), synthetic(700, first=3_000), synthetic(500, first=3_700)
    service, path = backfilled(tmp_path / "both", history, checkpoints={"every_events": 100})
    one = Weir(tmp_path / "one")
    await append(one.log, [*history, *during, *after])
    service.command("train", path, "--backfill")
    await append(service.log, during)
    with closing(service, one):
        service.start().wait_learnt(len(during))
        assert service.post("/events", b"\n".join(after)).status == 202
        status = service.wait_learnt(len(during) + len(after))
        assert service.stop() == 0
        one.start().wait_learnt(len(history) + len(during) + len(after))
        assert one.stop() == 0
    assert status["position"] == {"0": 1_200}
    assert status["records"] == 4_200
    assert service.deciding() == one.deciding()
    assert service.manifest().backfill is not None


async def test_the_end_of_the_source_is_that_of_the_beginning_also_after_a_kill(tmp_path: Path) -> None:
    history = synthetic(60_000)
    service, path = backfilled(tmp_path, history, checkpoints={"every_events": 100}, learner={"args": ARGS})
    await append(service.log, history[-400:])
    assert killed_after_a_checkpoint(service, [path, "--live-from", "end"], random.Random(0))
    await append(service.log, synthetic(30, first=60_000))
    train(service, path, "--resume", "--live-from", "end")
    assert service.manifest().position == {0: 400}
    with closing(service):
        assert service.start().wait_learnt(430)["records"] == 60_030
        assert service.stop() == 0


async def test_events_that_stand_in_file_and_log_are_learnt_once_where_they_have_ids(tmp_path: Path) -> None:
    events = synthetic(1_000)
    service, path = backfilled(tmp_path / "overlap", events[:700])
    await append(service.log, events[400:])
    one = Weir(tmp_path / "one")
    await append(one.log, events)
    train(service, path, "--backfill")
    with closing(service, one):
        assert service.start().wait_learnt(600)["duplicates"] == 300
        assert service.stop() == 0
        one.start().wait_learnt(1_000)
        assert one.stop() == 0
    assert service.blob("learner") == one.blob("learner")


def test_a_place_in_the_stream_can_be_named(tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(10))
    train(service, path, "--backfill", "--live-from", "0:17,2:4")
    assert service.manifest().position == {0: 17, 2: 4}


@pytest.mark.parametrize("place", ["0", "0:1,0:2", "beginning", "0:-1"])
def test_a_place_that_is_none_is_refused(place: str, tmp_path: Path) -> None:
    service, path = backfilled(tmp_path, synthetic(10))
    ran = service.command("train", path, "--backfill", "--live-from", place)
    assert ran.code == 2
    assert "--live-from" in ran.err.splitlines()[-1]
    assert not service.checkpoints.exists()


def test_serve_refuses_a_backfill_that_is_not_finished(tmp_path: Path) -> None:
    service, _ = broken_off(tmp_path)
    ran = service.command("serve", "--port", "0")
    assert ran.code == 2
    assert "weir train --resume" in ran.err
    assert "300 records" in ran.err


async def test_a_checkpoint_within_the_files_is_no_rollback_of_the_live_stream(tmp_path: Path) -> None:
    service, path = broken_off(tmp_path)
    within = service.head()
    written(path, path.read_bytes().rstrip(b",\n") + b"]")
    train(service, str(path), "--resume")
    seam = service.head()
    await append(service.log, synthetic(20, first=300))
    with closing(service):
        service.start().wait_learnt(20)
        refused = service.command("rollback", within, "--replay", environment={"WEIR_HTTP_PORT": service.port})
        assert refused.code == 2
        assert "no position of the stream" in refused.err
        service.rollback(seam, "--replay")
        assert service.wait_learnt(20)["records"] == 320
        assert service.stop() == 0
