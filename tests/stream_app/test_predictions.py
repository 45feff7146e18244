"""Every served prediction is kept, found with its label once that is known, and told to a topic."""

import hashlib
import json
from pathlib import Path

from join_process import Topics
from kafka_broker import PATIENT
from weir_process import Weir, closing, synthetic, wait_for

EVENT = {"features": {"f": {"carrier": "A"}}}


def test_a_prediction_is_found_with_its_label_once_that_is_known_also_after_a_kill(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        answer = service.start().post("/predict", {"id": "one", **EVENT}).body
        found = service.get("/predictions/one").body
        assert (found["prediction"], found["model"], found["is_labelled"]) == (answer["prediction"], "live@0:0", False)
        assert found["event_sha256"] == hashlib.sha256(found["event"].encode()).hexdigest()
        assert service.post("/labels", {"id": "one", "label": 1}).status == 202
        service.kill()
        found = service.start().get("/predictions/one").body
        assert (found["label"], found["is_labelled"], found["labelled_at"] >= found["at"]) == (1, True, True)
        assert service.stop() == 0


def test_what_has_no_id_is_kept_too_and_answered_as_if_it_were_not(tmp_path: Path) -> None:
    service, other = Weir(tmp_path / "a"), Weir(tmp_path / "b", predictions={"without_id": False})
    with closing(service, other):
        answers = [one.start().post("/predict", EVENT).body for one in (service, other)]
        assert answers[0] == answers[1] == {"id": None, "prediction": 0.5, "model": "live@0:0"}
        assert service.stop() == other.stop() == 0
        kept = [one.start().get("/predictions?limit=5").body["predictions"] for one in (service, other)]
        assert [len(found) for found in kept] == [1, 0]
        assert json.loads(kept[0][0]["event"]) == EVENT
        assert service.get(f"/predictions/{kept[0][0]['id']}").body == kept[0][0]
        assert service.stop() == other.stop() == 0


def test_what_is_only_tried_is_neither_kept_nor_counted(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        assert service.start().post("/predict?keep=0", {"id": "one", **EVENT}).body["id"] == "one"
        assert service.status()["predictions"] == 0
        assert service.get("/predictions/one").status == 404
        assert service.get("/predictions").body == {"predictions": []}
        assert service.get("/predictions?limit=0").status == 400
        assert service.stop() == 0


async def test_a_topic_gets_a_record_of_each_with_the_hash_of_its_event_or_the_event(
    kafka: str, tmp_path: Path
) -> None:
    for has_features in (False, True):
        topics, events = Topics(kafka, partitions=1), synthetic(50)
        await topics.append("served", [])
        topic = {"topic": f"kafka:{topics.place('served')}", "features": has_features}
        patient = {"timeout_s": PATIENT.timeout_s}
        service = Weir(tmp_path / str(has_features), source=patient, predictions=topic)
        with closing(service):
            service.start()
            answers = service.post("/predict", b"\n".join(events)).body
            wait_for(lambda service=service: service.status()["predictions_topic"]["unsent"] == 0)
            assert service.stop() == 0
        records = [json.loads(record) for record in await topics.records("served")]
        told = [(one["id"], one["prediction"], one["model"], one["event_sha256"]) for one in records]
        hashes = [hashlib.sha256(event).hexdigest() for event in events]
        assert told == [
            (one["id"], one["prediction"], one["model"], sha) for one, sha in zip(answers, hashes, strict=True)
        ]
        assert [one.get("event") for one in records] == [event.decode() if has_features else None for event in events]


def test_an_answer_holds_a_bounded_number_of_bytes_and_one_prediction_in_any_case(tmp_path: Path) -> None:
    service = Weir(tmp_path, http={"max_body_bytes": 10 << 20}, events={"max_bytes": 10 << 20})
    with closing(service):
        service.start()
        for size_bytes in (9 << 20, 5 << 20, 2 << 20, 1 << 20):
            event = {"id": str(size_bytes >> 20), "features": {"a": "x" * size_bytes}}
            assert service.post("/predict", event).status == 200
        assert [one["id"] for one in service.get("/predictions").body["predictions"]] == ["1", "2"]
        service.post("/predict", {"id": "large", "features": {"a": "x" * (9 << 20)}})
        assert [one["id"] for one in service.get("/predictions").body["predictions"]] == ["large"]
        assert service.stop() == 0
