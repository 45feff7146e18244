"""`weir serve --follow`: replicas that serve what another service learns, and change nothing."""

import json
from pathlib import Path

import pytest
from asker import Asker
from kafka_broker import new_place
from kafka_services import on_topic
from weir_process import Weir, append, closing, refused, synthetic, wait_for

from checkpoints import open_store
from stream_app import config, wiring

EVENT = {"features": {"f": {"carrier": "A", "origin": "O3", "hour": 19}, "n": 2}}


def follower_of(service: Weir, folder: Path) -> Weir:
    """Another process with the same settings."""
    other = Weir(folder, checkpoints={"url": str(service.checkpoints)})
    other.toml.write_bytes(service.toml.read_bytes())
    return other


def predicted_by(service: Weir, model_id: str) -> float:
    """What a stored model says of EVENT."""
    settings = config.load(str(service.toml), environment={})
    learner = wiring.build_learner(settings)
    learner.restore(open_store(str(service.checkpoints)).load(model_id).blobs["learner"])
    (example,) = wiring.build_format(settings, learner.traits).decode([json.dumps(EVENT).encode()]).examples
    return float(learner.predict(example))  # type: ignore[arg-type]


async def test_while_models_are_swapped_no_request_fails_and_every_answer_is_of_the_model_it_names(
    tmp_path: Path,
) -> None:
    service = Weir(tmp_path / "learner", checkpoints={"keep": 1000})
    follower = follower_of(service, tmp_path / "follower")
    with closing(service, follower):
        service.start()
        service.checkpoint()
        asker = Asker(follower.start("--follow"), "/predict", [EVENT] * 3)
        asker.start()
        events = synthetic(4000)
        for first in range(0, 4000, 100):
            assert service.post("/events", b"\n".join(events[first : first + 100])).status == 202
            service.wait_learnt(first + 100)
            newest = service.checkpoint()
            if first % 500 == 0:
                wait_for(lambda newest=newest: asker.answers and asker.answers[-1][0]["model"] == newest)
        wait_for(lambda: follower.status()["model"] == newest)
        asker.is_enough.set()
        asker.join()
    assert asker.failed == []
    answers: list[list[dict[str, object]]] = asker.answers
    models = {str(one["model"]) for answer in answers for one in answer}
    assert len(models) > 8
    expected = {model: predicted_by(service, model) for model in models}
    for answer in answers:
        assert len({str(one["model"]) for one in answer}) == 1, "a mixed answer"
        assert {one["prediction"] for one in answer} == {expected[str(answer[0]["model"])]}


async def test_it_is_read_only_and_says_how_far_behind_it_is(tmp_path: Path) -> None:
    service = Weir(tmp_path / "learner", checkpoints={"every_s": 1000})
    follower = follower_of(service, tmp_path / "follower")
    await append(service.log, synthetic(50))
    with closing(service, follower):
        service.start().wait_learnt(50)
        taken = service.checkpoint()
        follower.start("--follow")
        status = follower.status()
        assert (status["role"], status["model"], status["checkpoint"]) == ("follower", taken, taken)
        assert status["lag"] is None, "another process holds the log"
        assert status["checkpoint_age_s"] >= 0
        before = {path: path.read_bytes() for path in service.checkpoints.rglob("*") if path.is_file()}
        for path, body in (("/events", {"label": 1, **EVENT}), ("/checkpoints", b""), ("/rollback", {"id": taken})):
            answer = follower.post(path, body)
            assert (answer.status, answer.body["error"]["code"]) in ((409, "read_only"), (409, "not_learning")), path
        assert follower.post("/predict", {"id": "x", **EVENT}).body["model"] == taken
        assert follower.post("/labels", {"id": "x", "label": 1}).status == 409
        assert follower.get("/progress").body["report"]["total"]["examples"] == 50
        assert follower.stop() == 0
        assert {path: path.read_bytes() for path in before} == before


def test_as_many_follow_with_the_same_settings_as_one_likes_beside_the_one_that_learns(tmp_path: Path) -> None:
    service = Weir(tmp_path / "learner")
    followers = [follower_of(service, tmp_path / name) for name in "abc"]
    with closing(service, *followers):
        for follower in followers:
            follower.start("--follow")
            assert follower.get("/health/ready").status == 503
            wait_for(lambda one=follower: "no checkpoint to follow" in str(one.get("/health/ready").body["problems"]))
        service.start()
        taken = service.checkpoint()
        for follower in followers:
            wait_for(lambda follower=follower: follower.status()["model"] == taken)
            assert follower.get("/health/ready").status == 200


def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_served_on(tmp_path: Path) -> None:
    service = Weir(tmp_path / "learner")
    follower = follower_of(service, tmp_path / "follower")
    with closing(service, follower):
        good = service.start().checkpoint()
        follower.start("--follow")
        service.post("/events", {"label": 1, **EVENT})
        service.wait_learnt(1)
        assert service.stop() == 0
        damaged = service.checkpoints / "objects" / service.head() / "learner"
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-1])
        wait_for(lambda: follower.status()["warnings"] or follower.status()["model"] != good)
        if follower.status()["model"] == good:
            assert "learner" in follower.status()["warnings"][0]
            assert follower.post("/predict", EVENT).body["model"] == good
            damaged.write_bytes(whole)
        wait_for(lambda: follower.status()["model"] == service.head())
        assert follower.status()["warnings"] == []


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    service = Weir(tmp_path / "learner")
    with closing(service):
        service.start().checkpoint()
        service.configure(learner={"args": "--loss_function squared"})
        assert "was learnt by vw with" in refused("serve", "--follow", "--port", "0", "-c", str(service.toml))


@pytest.mark.parametrize("is_up", [True, False])
def test_on_kafka_it_knows_its_distance_while_the_broker_answers_and_serves_all_the_same(
    is_up: bool, kafka: str, tmp_path: Path
) -> None:
    settings = on_topic(new_place(kafka), 2, checkpoints={"every_s": 1000, "every_events": 100_000})
    service = Weir(tmp_path / "learner", **settings)
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(70)))
        service.wait_learnt(70)
        taken = service.checkpoint()
        service.post("/events", b"\n".join(synthetic(30, first=70)))
        if not is_up:
            service.configure(**{**settings, "source": {**settings["source"], "url": "kafka://127.0.0.1:1/none"}})
        follower = follower_of(service, tmp_path / "follower")
        with closing(follower):
            follower.start("--follow")
            if is_up:
                wait_for(lambda: follower.status()["lag"] == 30)
            else:
                wait_for(lambda: "127.0.0.1:1" in str(follower.status()["warnings"]))
                assert follower.status()["lag"] is None
            assert follower.post("/predict", EVENT).body["model"] == taken
            assert follower.get("/health/ready").status == 200
