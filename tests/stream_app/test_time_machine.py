"""The past re-derived: replays without poison, proofs of packages, and the live model's answers at past positions."""

import json
import random
import shutil
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec
import pytest
from weir_process import Ran, Weir, append, closing, synthetic, wait_for

from checkpoints import open_store
from stream_app import config, wiring
from stream_app.past import Past
from stream_app.past_prediction import PastPrediction
from stream_app.serving import decoded
from stream_app.sources.block_store import BlockStore
from stream_app.sources.blocks import Changes, block_key, encode
from stream_app.timeline import Timeline

RIVER = {"kind": "river", "args": "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()"}


def asked(number: int) -> dict[str, Any]:
    """An event without a label, as a client asks."""
    event = json.loads(synthetic(1, seed=9, first=number)[0])
    return {"id": f"asked-{number}", "features": event["features"]}


async def answers_again(service: Weir, served: Sequence[PastPrediction]) -> list[object]:
    """What the models that gave these predictions say, each rebuilt from checkpoint and log."""
    settings = config.load(str(service.toml), environment={})
    store = open_store(str(service.checkpoints))
    source = wiring.build_view(settings)
    past = Past(settings, store, source, Timeline(store, service.state / "order.journal"))
    found: list[object] = []
    for one in served:
        model = await past.of(one)
        assert model.id == one.model
        found.append(model.learner.predict(decoded(model.format, [one.event_base64])[0]))
    await source.close()
    return found


def remembered(service: Weir, event_id: str) -> PastPrediction:
    answer = service.get(f"/predictions/{event_id}")
    assert answer.status == 200, answer
    return msgspec.convert(answer.body, PastPrediction)


def command(service: Weir, *arguments: str, code: int = 0) -> Ran:
    """A command beside the running service."""
    ran = service.command(*arguments, environment={"WEIR_HTTP_PORT": service.port})
    assert ran.code == code, ran
    return ran


@pytest.mark.parametrize("learner", [{}, RIVER], ids=["vw", "river"])
async def test_answers_at_a_hundred_past_positions_are_derived_again_bit_for_bit(
    learner: dict[str, object], tmp_path: Path
) -> None:
    chance = random.Random(3)
    service = Weir(
        tmp_path,
        learner=learner,
        source={"partitions": 3},
        checkpoints={"every_events": 700, "every_s": 1000, "keep": 50},
    )
    ids: list[str] = []
    models: set[str] = set()
    with closing(service):
        service.start()
        is_enough = threading.Event()

        def post() -> None:
            """Singly, by the hundred, and as envelopes that are learnt in several slices; 40 for each answer."""
            first = 0
            while not is_enough.is_set():
                if first > 40 * len(ids):
                    is_enough.wait(0.001)
                    continue
                count = chance.choice([1, 3, 100, 700])
                batch = synthetic(count, first=first)
                body = b"[" + b",".join(batch) + b"]" if chance.random() < 0.5 else b"\n".join(batch)
                try:
                    service.post("/events", body)
                except (OSError, HTTPException, json.JSONDecodeError):
                    continue
                first += count

        poster = threading.Thread(target=post)
        poster.start()
        for turn in range(3):
            while len(ids) < 50 * (turn + 1) or len(models) < 8 * (turn + 1):
                number = len(ids)
                answer = service.post("/predict", asked(number))
                if answer.status == 200:
                    ids.append(f"asked-{number}")
                    models.add(answer.body["model"])
            if turn == 0:
                service.kill()
                service.start()
            elif turn == 1:
                listed = wait_for(lambda: service.get("/checkpoints").body["checkpoints"])
                service.rollback(listed[len(listed) // 2]["id"], "--replay")
        is_enough.set()
        poster.join()
        wait_for(lambda: service.status()["lag"] == 0)
        served = [remembered(service, event_id) for event_id in ids]
        assert len({one.model for one in served}) > 20
        chosen = chance.sample(served, 100)
        assert await answers_again(service, chosen) == [one.prediction for one in chosen]
        shown = (
            json.loads(command(service, "explain", "--prediction", chosen[0].id, "--json").out) if not learner else {}
        )
        assert shown.get("is_equal", True)


async def test_answers_in_the_middle_of_an_envelope_are_derived_again(tmp_path: Path) -> None:
    quiet = {"every_s": 1000, "every_events": 100_000}
    service = Weir(tmp_path, checkpoints=quiet, events={"dedupe_window": 0})
    events = synthetic(10_000)
    middle: list[PastPrediction] = []
    number = 0
    with closing(service):
        while not middle:  # all may be learnt before this test has its turn to ask
            await append(service.log, [b"[" + b",".join(events) + b"]"] * 6)
            service.start()
            first = number
            while service.status()["lag"]:
                service.post("/predict", asked(number))
                number += 1
            served = [remembered(service, f"asked-{one}") for one in range(first, number)]
            middle = [one for one in served if "+" in one.model][:10]
            assert service.stop() == 0
    assert await answers_again(service, middle) == [one.prediction for one in middle]


async def test_a_replay_without_the_poison_gives_the_bytes_of_a_clean_run_and_is_proven(tmp_path: Path) -> None:
    settings = {"checkpoints": {"every_s": 1000, "every_events": 100_000}}
    service, clean = Weir(tmp_path / "a", **settings), Weir(tmp_path / "clean", **settings)
    good, poison, more = synthetic(1500), synthetic(400, first=5000, is_flipped=True), synthetic(1000, first=9000)
    with closing(service, clean):
        service.start()
        for batch in (good, poison, more):
            service.post("/events", b"\n".join(batch))
            service.wait_learnt(len(batch))
            wait_for(lambda: service.status()["lag"] == 0)
            service.checkpoint()
        first = service.get("/checkpoints").body["checkpoints"][-1]["id"]
        ids = tmp_path / "ids"
        ids.write_text("".join(f"e{number}\n" for number in range(5000, 5400)))
        found = {}
        for name, exceptions in {
            "offsets": ["--except", "0:1500-1899"],
            "ids": ["--except-ids", str(ids)],
            "times": ["--except-time", f"{1_700_000_000 + 5000}..{1_700_000_000 + 5400}"],
        }.items():
            done = json.loads(command(service, "replay", "--from", first, *exceptions, "--json").out)
            assert (done["parent"], done["position"], sum(done["left_out"].values())) == (first, {"0": 2900}, 400)
            found[name] = done["id"]
        clean.start()
        clean.post("/events", b"\n".join(good + more))
        clean.wait_learnt(2500)
        expected = clean.manifest(clean.checkpoint())
        for name, model in found.items():
            for blob in ("learner", "progressive", "names"):
                assert service.blob(blob, model) == clean.blob(blob), name
            holes = service.manifest(model).holes
            assert [(hole.first, hole.last) for hole in holes] == [(1500, 1900)]
            assert "e5" not in holes[0].why
            assert service.manifest(model).metrics == expected.metrics
            assert "proven" in command(service, "verify", model).out
        assert command(service, "verify").out.startswith(service.head())
        service.post("/tags/clean", {"model": found["ids"]})
        answer = service.post("/tag/clean/predict", asked(1)).body
        assert answer["prediction"] == clean.post("/predict", asked(1)).body["prediction"]
        assert service.rollback(found["ids"], "--replay")
        service.post("/events", b"\n".join(synthetic(100, first=20_000)))
        clean.post("/events", b"\n".join(synthetic(100, first=20_000)))
        wait_for(lambda: service.status()["lag"] == 0 and clean.status()["lag"] == 0)
        clean.checkpoint()
        assert service.blob("learner", service.checkpoint()) == clean.blob("learner")


async def test_fields_decide_too_and_what_was_taken_out_does_not_come_back(tmp_path: Path) -> None:
    service = Weir(tmp_path / "a")
    events = synthetic(800)
    without = [event for event in events if json.loads(event)["features"]["f"]["carrier"] != "A"]
    with closing(service):
        service.start()
        service.post("/events", b"\n".join(events))
        service.wait_learnt(800)
        service.checkpoint()
        arguments = ["replay", "--from", "start", "--json", "--except-where", "features.f.carrier = 'A'"]
        first = json.loads(command(service, *arguments).out)
        assert first["left_out"] == {"field": 800 - len(without)}
        service.rollback(first["id"], "--replay")
        other = json.loads(command(service, "replay", "--from", "start", "--learner-args", "-q ff", "--json").out)
        assert sum(other["left_out"].values()) == 800 - len(without)
        refused = command(service, "replay", "--from", first["id"], "--learner-args", "-q ff", code=2)
        assert "use --from start" in refused.err
        assert (
            "is not FIELD = VALUE" in command(service, "replay", "--from", "start", "--except-where", "x", code=2).err
        )
    trained = Weir(tmp_path / "b", learner={"args": "-q ff"})
    await append(trained.log, without)
    with closing(trained):
        trained.start().wait_learnt(len(without))
        assert trained.stop() == 0
    assert service.blob("learner", other["id"]) == trained.blob("learner")


async def test_a_proof_fails_and_names_the_place_where_a_byte_was_changed(tmp_path: Path) -> None:
    service = Weir(tmp_path / "a", source={"partitions": 2}, checkpoints={"every_events": 100, "every_s": 1000})
    await append(service.log, [b"poison", *synthetic(2000)], partitions=2, each=90)
    with closing(service):
        service.start().wait_learnt(2001)
        assert service.stop() == 0
    ids = [summary.id for summary in open_store(str(service.checkpoints)).list()]
    for model in ids:
        ran = service.command("verify", model)
        assert (ran.code, "proven" in ran.out) == (0, True), ran
    log = tmp_path / "log"
    shutil.copytree(service.log, log)
    _change_a_byte(service.log, partition=1, offset=137)
    outcomes = [json.loads(service.command("verify", model, "--json").out)[0] for model in ids]
    differing = [outcome for outcome in outcomes if outcome["outcome"] == "differs"]
    assert [outcome["place"] for outcome in differing] == ["1:137"]
    assert service.command("verify", differing[0]["id"]).code == 1
    shutil.rmtree(service.log)
    shutil.copytree(log, service.log)
    damaged = service.checkpoints / "objects" / ids[0] / "progressive"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(bytes(data))
    ran = service.command("verify", ids[0])
    assert (ran.code, "blob 'progressive'" in ran.err) == (2, True)


def test_a_package_that_was_made_up_is_not_proven(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    cells = [f"{{actual = {a}, predicted = {p}, value = 1.0}}" for a in (0, 1) for p in (0, 1)]
    service.toml.write_text(service.toml.read_text() + f"[value]\ncells = [{', '.join(cells)}]\n")
    with closing(service):
        service.start()
        service.post("/events", b"\n".join(synthetic(500)))
        service.wait_learnt(500)
        store = open_store(str(service.checkpoints))
        real = store.load(service.checkpoint())
        blobs = {**real.blobs, "learner": real.blobs["learner"][:-1] + bytes([real.blobs["learner"][-1] ^ 1])}
        made_up = store.keep(type(real).of(real.manifest, blobs), store.list()[0].note)
        ran = command(service, "verify", made_up, code=1)
        assert "blob 'learner' not what parent and log give" in ran.out
        junk = store.keep(type(real).of(real.manifest, {**real.blobs, "value": b"junk"}), store.list()[0].note)
        assert "blob 'value' not what parent and log give" in command(service, "verify", junk, code=1).out
        nothing = command(service, "replay", "--from", real.id[7:], "--except-where", "nope = 1", code=0)
        assert "no record is what was to be left out" in nothing.err
        others = "--loss_function logistic --link logistic -q ff"
        other = json.loads(command(service, "replay", "--from", "start", "--learner-args", others, "--json").out)["id"]
        assert "records learnt again give the same bytes" in command(service, "verify", other).out
        service.rollback(real.id, "--skip")
        assert "it is its parent" in command(service, "verify").out


def test_a_moment_is_named_by_offset_by_time_or_by_an_answer(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"every_s": 1000})
    event = json.dumps({"features": asked(3)["features"]})
    with closing(service):
        service.start()
        said, times = [], []
        for first in range(0, 900, 300):
            service.post("/events", b"\n".join(synthetic(300, first=first)))
            service.wait_learnt(first + 300)
            said.append(service.post("/predict", event.encode()).body)
            times.append(_now())
            if first == 300:
                service.checkpoint()
        for place, expected in [
            *zip(("300", "0:600", "live@0:900"), said, strict=True),
            *zip((str(times[0]), _iso(times[1]), str(times[2])), said, strict=True),
        ]:
            answer = json.loads(command(service, "at", place, "predict", event, "--json").out)
            assert (answer["prediction"], answer["model"]) == (expected["prediction"], expected["model"]), place
        head = service.head()
        for base, to, told in (
            (head, "300", f"--to: live@0:300 lies before --from {head} (live@0:600): nothing would be learnt again"),
            (head, "600", "is where it stands already"),
            ("start", "0", "is where it stands already"),
        ):
            kept = service.get("/checkpoints").body["checkpoints"]
            assert told in command(service, "replay", "--from", base, "--to", to, code=2).err
            assert service.get("/checkpoints").body["checkpoints"] == kept
        assert "partition 0 ends at 900" in command(service, "at", "901", "predict", event, code=2).err
        assert "no partition 3" in command(service, "at", "3:1", "predict", event, code=2).err
        assert "expected an offset" in command(service, "at", "yesterday", "predict", event, code=2).err
        table = command(service, "at", "300", "predict", event, "--explain").out
        assert "contribution" in table
        service.rollback(service.get("/checkpoints").body["checkpoints"][-1]["id"], "--skip")
        assert "passed over it" in command(service, "at", "700", "predict", event, code=2).err


def test_a_prediction_is_explained_by_the_model_that_gave_it_also_when_no_service_runs(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"every_s": 1000, "keep": 100})
    with closing(service):
        service.start()
        service.post("/events", b"\n".join(synthetic(500)))
        service.wait_learnt(500)
        stored = service.checkpoint()
        live = service.post("/predict", asked(1)).body
        by_model = service.post(f"/model/{stored}/predict", asked(2)).body
        service.post("/events", b"\n".join(synthetic(500, first=500)))
        service.wait_learnt(1000)
        service.checkpoint()
        assert service.stop() == 0
        nowhere = {"WEIR_HTTP_PORT": "1"}
        for answer in (live, by_model):
            ran = service.command(
                "explain", "--prediction", answer["id"], "--json", environment={"WEIR_HTTP_PORT": "1"}
            )
            shown = json.loads(ran.out)
            assert (ran.code, shown["is_equal"], shown["prediction"]) == (0, True, answer["prediction"])
            assert shown["model"] == answer["model"]
            assert sum(one["contribution"] for one in shown["contributions"]) != 0
        ran = service.command("explain", "--prediction", "nobody", environment=nowhere)
        assert (ran.code, "no prediction of 'nobody'" in ran.err) == (2, True)


def _change_a_byte(log: Path, partition: int, offset: int) -> None:
    """In a record, so that RocksDB notices nothing: the block is written anew."""
    store = BlockStore(log, 2)
    store.open()
    found = store.find(partition, offset)
    assert found is not None
    first, block = found
    payloads = list(block.payloads)
    payloads[offset - first] = payloads[offset - first].replace(b'"hour":', b'"hous":')
    changes = Changes()
    changes.puts[block_key(partition, first)] = encode(msgspec.structs.replace(block, payloads=payloads))
    assert store.write(changes)
    store.close()


def _now() -> float:
    time.sleep(0.05)
    now = time.time()
    time.sleep(0.05)
    return now


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()
