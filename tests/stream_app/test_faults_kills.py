"""kill -9, again and again: what is learnt in the end is what a service would have learnt that was never killed."""

import json
import random
import threading
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from weir_process import Weir, append, closing, records_of, synthetic, wait_for

BACKLOG = 30_000
POST = 37


class Poster(threading.Thread):
    """A client that posts events in order, and posts again whatever was not acknowledged, as clients do."""

    def __init__(self, service: Weir, events: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._posts = [events[first : first + POST] for first in range(0, len(events), POST)]
        self.acknowledged: list[tuple[dict[str, int], list[bytes]]] = []
        self.unanswered = 0
        self._pause = threading.Event()

    def run(self) -> None:
        for post in self._posts:
            while True:
                try:
                    answer = self._service.post("/events", b"\n".join(post))
                except (OSError, HTTPException, json.JSONDecodeError):
                    self.unanswered += 1
                    self._pause.wait(0.005)
                    continue
                assert answer.status == 202, answer
                self.acknowledged += [(place, post) for place in answer.body["positions"]]
                break


@pytest.mark.parametrize(("partitions", "kills"), [(1, 20), (3, 10)])
async def test_killed_at_random_moments_it_ends_in_the_bytes_of_a_run_never_killed(
    partitions: int, kills: int, tmp_path: Path
) -> None:
    settings = {"source": {"batch": 53, "partitions": partitions}, "checkpoints": {"every_events": 700, "keep": 3}}
    chance = random.Random(partitions)
    service = Weir(tmp_path / "killed", **settings)
    backlog, posted = synthetic(BACKLOG), synthetic(20_000, first=BACKLOG)
    await append(service.log, backlog, partitions, each=190)
    poster = Poster(service, posted)
    with closing(service):
        heads = set()
        for number in range(kills):
            before = head_of(service)
            service.start()
            if not number:
                poster.start()
            if number % 2:  # however slow the machine is, half of the kills come after a checkpoint
                wait_for(lambda before=before: head_of(service) != before or not service.status()["lag"])
            threading.Event().wait(chance.uniform(0.0, 0.4))
            service.kill()
            heads.add(head_of(service))
        service.start()
        poster.join()
        status = service.wait_learnt(BACKLOG + len(posted))
        assert service.stop() == 0
    assert poster.unanswered > 0
    assert len(heads) > kills / 4, "the kills did not hit a service that was learning"
    check_log(await records_of(service.log), poster)
    assert status["examples"] == BACKLOG + len(posted)
    assert service.deciding() == never_killed(service, tmp_path / "never", settings)


def head_of(service: Weir) -> str | None:
    return service.head() if (service.checkpoints / "HEAD").exists() else None


def check_log(records: dict[int, list[bytes]], poster: Poster) -> None:
    """Every acknowledged event lies where the answer said."""
    assert poster.acknowledged
    for place, post in poster.acknowledged:
        assert records[place["partition"]][place["first"] : place["next"]] == post


def never_killed(service: Weir, folder: Path, settings: dict[str, Any]) -> dict[str, bytes]:
    other = service.copy_of_log(folder, **settings)
    with closing(other):
        other.start().wait_learnt(1)
        assert other.stop() == 0
    return other.deciding()
