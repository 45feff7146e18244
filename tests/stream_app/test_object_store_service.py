"""`weir serve` with its checkpoints in S3: killed, followed and deployed from as with a directory."""

import random
from pathlib import Path

from s3_server import Bucket
from weir_process import DECIDING, Weir, append, closing, synthetic, wait_for

from checkpoints import open_store


async def test_killed_again_and_again_with_checkpoints_in_s3_it_ends_in_the_bytes_of_a_directory(
    s3: Bucket, tmp_path: Path
) -> None:
    often = {"every_events": 300, "every_s": 1000, "keep": 5}
    checkpoints = {"url": s3.url, "options": s3.options, **often}
    service, other = Weir(tmp_path / "s3", checkpoints=checkpoints), Weir(tmp_path / "plain", checkpoints=often)
    follower = Weir(tmp_path / "follower", checkpoints=checkpoints)
    events, chance = synthetic(6000), random.Random(2)
    await append(other.log, events)
    with closing(service, other, follower):
        for first in range(0, 6000, 1500):
            service.start()
            service.post("/events", b"\n".join(events[first : first + 1500]))
            at = first + chance.randrange(1400)
            wait_for(lambda: service.status()["records"], lambda records, at=at: records >= at)
            service.kill()
        service.start().wait_learnt(6000)
        newest = service.checkpoint()
        service.post("/tags/flights.production", {"model": newest})
        follower.start("--follow")
        assert follower.status()["model"] == newest
        event = {"features": {"f": {"carrier": "A"}}}
        assert follower.post("/tag/flights.production/predict", event).body["model"] == newest
        assert service.stop() == 0
        assert service.command("checkpoints", "verify", "--all").code == 0
        other.start().wait_learnt(6000)
        assert other.stop() == 0
    store = open_store(s3.url, s3.options)
    assert store.head() == newest
    blobs = store.load(newest).blobs
    assert {name: blobs[name] for name in DECIDING} == other.deciding()
    assert len(store.list()) < 10


def test_secrets_are_refused_in_the_options(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"url": "s3://x/y", "options": {"secret": "s"}})
    ran = service.command("checkpoints", "list")
    assert (ran.code, "AWS_SECRET_ACCESS_KEY" in ran.err) == (2, True)
