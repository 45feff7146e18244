"""A label that comes after its prediction is learnt with the features of then, and only once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from weir_process import Weir, append, closing, records_of, synthetic

EVENTS = [json.loads(payload) for payload in synthetic(50)]


def unlabelled(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "label"}


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_late_label_is_learnt_with_the_features_of_its_prediction(is_killed: bool, tmp_path: Path) -> None:
    service, direct = Weir(tmp_path / "late"), Weir(tmp_path / "direct")
    await append(direct.log, [json.dumps(event).encode() for event in EVENTS])
    with closing(service, direct):
        service.start()
        for event in EVENTS:
            assert service.post("/predict", unlabelled(event)).status == 200
        if is_killed:
            service.kill()
            service.start()
        for event in EVENTS:
            assert service.post("/labels", {"id": event["id"], "label": event["label"]}).status == 202
        service.wait_learnt(len(EVENTS))
        direct.start().wait_learnt(len(EVENTS))
        assert service.stop() == direct.stop() == 0
    assert service.deciding() == direct.deciding()


async def test_a_label_given_twice_also_at_the_same_time_is_learnt_once(tmp_path: Path) -> None:
    columns = ["label", "carrier"]
    schema = {"label": "label", "labels": {"YES": 1, "NO": -1}}
    service = Weir(tmp_path, events={"format": "csv", "columns": columns}, schema=schema).start()
    with closing(service), ThreadPoolExecutor(8) as pool:
        assert service.post("/predict?id=x", b",A").status == 200
        label = {"id": "x", "label": "YES"}
        answers = list(pool.map(lambda _: service.post("/labels", label).status, range(8)))
        assert sorted(answers) == [202] + [409] * 7
        service.kill()
        assert service.start().post("/labels", label).status == 409
        service.kill()
    assert await records_of(service.log) == {0: [b"YES,A"]}


def test_a_label_without_a_prediction_or_of_no_sense_changes_nothing(tmp_path: Path) -> None:
    service = Weir(tmp_path).start()
    with closing(service):
        assert service.post("/labels", {"id": "never", "label": 1}).status == 404
        service.post("/predict", unlabelled(EVENTS[0]))
        assert service.post("/labels", {"id": EVENTS[0]["id"], "label": "YES"}).status == 400
        assert service.post("/labels", {"id": EVENTS[0]["id"], "label": 1}).status == 202
        assert service.wait_learnt(1)["examples"] == 1
