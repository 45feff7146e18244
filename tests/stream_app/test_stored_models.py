"""Stored models answer as the live model did at that moment, whatever the learner, and read events as taught."""

import json
from pathlib import Path

import pytest
from weir_process import Weir, closing, synthetic

EVENT = {"features": {"f": {"carrier": "A", "origin": "O3", "hour": 19}, "n": 2}}
TAG = "flights.production"


@pytest.mark.parametrize(
    ("task", "kind", "args"),
    [
        ("binary", "vw", "--loss_function logistic --link logistic -q ff"),
        ("binary", "river", "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()"),
        ("multiclass", "vw", "--oaa 3"),
        ("regression", "vw", "--ftrl"),
    ],
)
def test_a_stored_model_answers_as_the_live_one_did(task: str, kind: str, args: str, tmp_path: Path) -> None:
    service = Weir(tmp_path, model={"task": task}, learner={"kind": kind, "args": args})
    events = [json.loads(event) for event in synthetic(300)]
    for number, event in enumerate(events):
        event["label"] = number % 3 + 1 if task == "multiclass" else event["label"]
        event["features"]["f"] = {name: str(value) for name, value in event["features"]["f"].items()}
        del event["features"]["n"]
    asked = [{"features": event["features"]} for event in events[:50]]
    with closing(service):
        service.start()
        said = {}
        for first in range(0, 300, 100):
            service.post("/events", events[first : first + 100])
            service.wait_learnt(first + 100)
            said[service.checkpoint()] = [one["prediction"] for one in service.post("/predict", asked).body]
        assert len({str(answers) for answers in said.values()}) == 3
        for model, answers in said.items():
            assert [one["prediction"] for one in service.post(f"/model/{model[7:15]}/predict", asked).body] == answers
        assert service.get("/health/ready").body["problems"] == []


def test_a_stored_model_reads_events_by_the_schema_that_it_was_taught_with(tmp_path: Path) -> None:
    service = Weir(tmp_path, schema={"drop": ["n"]})
    with closing(service):
        service.start()
        service.post("/events", b"\n".join(synthetic(500)))
        service.wait_learnt(500)
        model = service.checkpoint()
        said = service.post("/predict", EVENT).body["prediction"]
        assert service.stop() == 0
        service.configure(schema={"drop": ["carrier"]})
        service.start()
        assert service.post("/predict", EVENT).body["prediction"] != said
        assert service.post(f"/model/{model}/predict", EVENT).body["prediction"] == said
        other = {"features": {**EVENT["features"], "n": 5}}
        assert service.post(f"/model/{model}/predict", other).body["prediction"] == said


def test_a_follower_serves_tags_and_takes_deployments(tmp_path: Path) -> None:
    service = Weir(tmp_path / "learner")
    follower = Weir(tmp_path / "follower", checkpoints={"url": str(service.checkpoints)})
    with closing(service, follower):
        service.start()
        ids = []
        for first in (0, 500):
            service.post("/events", b"\n".join(synthetic(500, first=first)))
            service.wait_learnt(first + 500)
            ids.append(service.checkpoint())
        service.post(f"/tags/{TAG}", {"model": ids[0]})
        follower.start("--follow")
        assert follower.post(f"/tag/{TAG}/predict", EVENT).body == service.post(f"/tag/{TAG}/predict", EVENT).body
        assert follower.post(f"/tags/{TAG}", {"model": ids[1]}).body["primary"] == ids[1]
        assert follower.post(f"/tag/{TAG}/predict", EVENT).body["model"] == ids[1]
        assert follower.stop() == 0


def test_what_a_tag_predicts_by_id_is_remembered_and_can_be_labelled(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start()
        service.post("/events", b"\n".join(synthetic(100)))
        service.wait_learnt(100)
        service.post(f"/tags/{TAG}", {"model": service.checkpoint()})
        assert service.post(f"/tag/{TAG}/predict", {"id": "x", **EVENT}).body["id"] == "x"
        assert service.post("/labels", {"id": "x", "label": 1}).status == 202
        assert service.wait_learnt(101)["examples"] == 101
