"""Deploying: tags served under load, back and forth, across restarts and kills, by commands and over HTTP."""

import json
import random
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest
from asker import Asker
from weir_process import Weir, closing, synthetic, wait_for

from checkpoints import open_store
from checkpoints.tags import By, Tags

EVENT = {"features": {"f": {"carrier": "A", "origin": "O3", "hour": 19}, "n": 2}}
TAG = "flights.production"


def deployed(service: Weir, *arguments: str) -> dict[str, object]:
    """`weir deploy` against the running service."""
    ran = service.command("deploy", *arguments, "--json", environment={"WEIR_HTTP_PORT": service.port})
    assert ran.code == 0, ran
    return dict(json.loads(ran.out))


def two_models(service: Weir) -> tuple[str, str]:
    """Two checkpoints of a service that answer differently."""
    events = synthetic(2000)
    ids = []
    for half in (events[:1000], events[1000:]):
        assert service.post("/events", b"\n".join(half)).status == 202
        service.wait_learnt(len(half) * (len(ids) + 1))
        ids.append(service.checkpoint())
    return ids[0], ids[1]


def predicted(service: Weir, model: str) -> object:
    """What a stored model says of EVENT."""
    answer = service.post(f"/model/{model}/predict", EVENT)
    assert (answer.status, answer.body["model"]) == (200, model)
    return answer.body["prediction"]


def test_a_hundred_swaps_under_load_fail_no_request_and_mix_no_answer(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"keep": 100})
    with closing(service):
        service.start()
        first, second = two_models(service)
        service.post(f"/tags/{TAG}", {"model": first})
        expected = {
            model: service.post(f"/model/{model}/predict", EVENT).body["prediction"] for model in (first, second)
        }
        assert expected[first] != expected[second]
        clients = [Asker(service, f"/tag/{TAG}/predict", EVENT, rate=50) for _ in range(4)]
        for client in clients:
            client.start()
        swaps = 0
        while swaps < 100 or len({answer["model"] for client in clients for answer in list(client.answers)}) < 2:
            wished = {"model": (second, first)[swaps % 2]} if swaps % 4 < 2 else {"action": "back"}
            assert service.post(f"/tags/{TAG}", wished).status == 200
            swaps += 1
        for client in clients:
            client.is_enough.set()
            client.join()
        history = service.get(f"/tags/{TAG}/history").body["history"]
    assert [failure for client in clients for failure in client.failed] == []
    answers: list[dict[str, object]] = [answer for client in clients for answer in client.answers]
    assert len(history) == swaps + 1
    assert {answer["model"] for answer in answers} == {first, second}
    assert all(answer["prediction"] == expected[str(answer["model"])] for answer in answers)
    assert {answer["tag"] for answer in answers} == {TAG}


def test_two_deployed_then_back_and_back_again_answer_bit_for_bit_as_before(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start()
        models = [*two_models(service), "live"]
        said = []
        for model in models:
            assert deployed(service, "-t", TAG, "-m", model[:19], "-M", "a try")["primary"] == model
            said.append(service.post(f"/tag/{TAG}/predict", EVENT).body)
        for before in reversed(said[:-1]):
            assert deployed(service, "-t", TAG, "-b")["primary"] == before["model"]
            assert service.post(f"/tag/{TAG}/predict", EVENT).body == before
        refused = service.command("deploy", "-t", TAG, "-b", environment={"WEIR_HTTP_PORT": service.port})
        assert (refused.code, "nothing to go back to" in refused.err) == (2, True)
        service.kill()
        service.start()
        assert service.post(f"/tag/{TAG}/predict", EVENT).body == said[0]
        assert service.stop() == 0
    assert [entry.action for entry in Tags(open_store(str(service.checkpoints))).history(TAG)] == [
        "deploy",
        "deploy",
        "deploy",
        "back",
        "back",
    ]


def test_killed_in_the_middle_of_deploying_it_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    service, chance = Weir(tmp_path), random.Random(5)
    acknowledged: list[dict[str, object]] = []
    with closing(service):
        service.start()
        models = two_models(service)
        for _ in range(8):
            is_killed, before = threading.Event(), len(acknowledged)

            def kill_soon(
                seconds: float = chance.uniform(0.01, 0.3), is_killed: threading.Event = is_killed, before: int = before
            ) -> None:
                wait_for(lambda: len(acknowledged) >= before + 2)  # however slow the machine is
                time.sleep(seconds)
                service.kill()
                is_killed.set()

            killer = threading.Thread(target=kill_soon)
            killer.start()
            while not is_killed.is_set():
                try:
                    answer = service.post(
                        f"/tags/{TAG}", {"model": chance.choice(models), "why": str(len(acknowledged))}
                    )
                except (OSError, HTTPException, AssertionError):
                    break
                assert answer.status == 200, answer
                acknowledged.append(answer.body)
            killer.join()
            service.start()
            shown = service.get(f"/tags/{TAG}").body
            history = Tags(open_store(str(service.checkpoints))).history(TAG)
            assert [entry.number for entry in history] == list(range(len(history)))
            assert (shown["number"], shown["primary"]) == (history[-1].number, history[-1].primary)
            assert service.post(f"/tag/{TAG}/predict", EVENT).body["model"] == shown["primary"]
    made = {entry.number: entry for entry in history}
    assert len(acknowledged) > 8
    for answer in acknowledged:
        entry = made[int(str(answer["number"]))]
        assert (entry.primary, entry.at) == (answer["primary"], answer["at"])


def test_deployed_without_a_service_it_is_served_by_the_next_one_and_by_those_that_run(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start()
        first, second = two_models(service)
        assert service.stop() == 0
        ran = service.command("deploy", "-t", TAG, "-m", first, environment={"WEIR_HTTP_PORT": "1"})
        assert (ran.code, ran.out) == (0, f"{TAG} is {first}\n")
        service.start()
        assert service.post(f"/tag/{TAG}/predict", EVENT).body["model"] == first
        ran = service.command("deploy", "-t", TAG, "-m", second, environment={"WEIR_HTTP_PORT": "1"})
        wait_for(lambda: service.post(f"/tag/{TAG}/predict", EVENT).body["model"] == second)
        assert service.status()["tags"] == {TAG: second}
        shown = service.command("deploy", "history", "-t", TAG)
        assert [first[7:19] in line for line in shown.out.splitlines()[1:]] == [True, True]
        assert service.command("tags").out.splitlines()[1].startswith(TAG)


def test_a_deployed_model_outlives_retention_and_what_is_unknown_is_refused(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"keep": 2})
    with closing(service):
        service.start()
        first, second = two_models(service)
        assert service.post(f"/tags/{TAG}", {"model": first}).status == 200
        for number in range(6):
            service.post("/events", synthetic(10, first=5000 + 10 * number)[0])
            service.wait_learnt(2001 + number)
            service.checkpoint()
        assert service.post(f"/model/{first}/predict", EVENT).status == 200
        kept = {path.name for path in (service.checkpoints / "objects").iterdir()}
        assert first in kept
        assert second not in kept
        assert service.post(f"/tags/{TAG}", {"model": "0" * 64}).body["error"]["code"] == "unknown_checkpoint"
        assert service.post("/tag/unknown/predict", EVENT).body["error"]["code"] == "unknown_tag"
        assert service.post("/model/12345678/predict", EVENT).status == 404
        assert service.post("/tags/live", {"model": first}).status == 409
        assert service.post(f"/tags/{TAG}", {"action": "drop"}).status == 400
        assert service.get(f"/tags/{TAG}").body["primary"] == first


def test_a_table_that_a_program_reads_is_not_cut(tmp_path: Path) -> None:
    service, tag = Weir(tmp_path), "a_tag_with_a_name_of_forty_letters.and_more"
    with closing(service):
        service.start().post("/events", synthetic(1)[0])
        service.wait_learnt(1)
        model = service.checkpoint()
        service.post(f"/tags/{tag}", {"model": model, "why": "a reason of some length, as people give them"})
        (row,) = service.command("tags").out.splitlines()[1:]
        assert row.split()[:2] == [tag, model[7:19]]
        assert "as people give them" in row
        assert service.stop() == 0


def test_candidates_answer_for_their_units_and_always_the_same_ones(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start()
        first, second = two_models(service)
        deployed(service, "-t", TAG, "-m", first)
        assert deployed(service, "add", "-t", TAG, "-m", second, "--weight", "0.25")["candidates"] == [
            {"model": second, "weight": 0.25}
        ]
        events = [{"id": f"user-{number}", **EVENT} for number in range(400)]
        models = [one["model"] for one in service.post(f"/tag/{TAG}/predict", events).body]
        assert 60 < models.count(second) < 140
        assert models == [service.post(f"/tag/{TAG}/predict", event).body["model"] for event in events]
        by_unit = service.post(f"/tag/{TAG}/predict?unit=user-7", EVENT).body
        assert by_unit["model"] == models[7]
        assert by_unit["prediction"] == service.post(f"/model/{models[7]}/predict", EVENT).body["prediction"]
        assert deployed(service, "remove", "-t", TAG, "-m", second[:15])["candidates"] == []


def test_a_damaged_model_is_not_deployed_and_the_one_before_serves_on(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start()
        first, second = two_models(service)
        service.post(f"/tags/{TAG}", {"model": first})
        path = service.checkpoints / "objects" / second / "learner"
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        answer = service.post(f"/tags/{TAG}", {"model": second})
        assert (answer.status, answer.body["error"]["code"]) == (409, "checkpoint_damaged")
        assert "'learner'" in answer.body["error"]["message"]
        Tags(open_store(str(service.checkpoints))).deploy(TAG, second, By("test"))
        wait_for(lambda: any("cannot be served" in said for said in service.get("/health/ready").body["warnings"]))
        assert service.post(f"/tag/{TAG}/predict", EVENT).body["model"] == first


def test_what_fails_the_sanity_set_is_kept_but_never_deployed(tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"event": EVENT, "at_least": 0.5}) + "\n")
    late = [json.dumps({"label": 1, **EVENT}).encode()] * 200
    early = [json.dumps({"label": 0, **EVENT}).encode()] * 400
    service = Weir(tmp_path / "a", deploy={"tag": TAG, "sanity": str(golden)}, checkpoints={"every_s": 1000})
    with closing(service):
        service.start()
        service.post("/events", b"\n".join(late))
        service.wait_learnt(200)
        sane = service.checkpoint()
        wait_for(lambda: service.status()["tags"].get(TAG) == sane)
        service.post("/events", b"\n".join(early))
        service.wait_learnt(600)
        insane = service.checkpoint()
        wait_for(lambda: any("sanity" in said for said in service.get("/health/ready").body["warnings"]))
        assert service.status()["tags"] == {TAG: sane}
        assert service.post(f"/model/{insane}/predict", EVENT).status == 200
        refused = service.post(f"/tags/{TAG}", {"model": insane})
        assert (refused.status, refused.body["error"]["code"]) == (409, "insane")
        assert "line 1: predicted 0" in refused.body["error"]["message"]
        assert service.get(f"/tags/{TAG}/history").body["history"][0]["action"] == "held"
        service.post("/events", b"\n".join(late * 5))
        service.wait_learnt(1600)
        again = service.checkpoint()
        wait_for(lambda: service.status()["tags"] == {TAG: again})
        wait_for(lambda: service.get("/health/ready").body["warnings"] == [])


@pytest.mark.parametrize("then", ["hold", "best"])
async def test_when_the_windowed_loss_worsens_the_guard_holds_and_learning_goes_on(then: str, tmp_path: Path) -> None:
    deploy = {"tag": TAG, "guard_worsens_by": 0.2, "guard_then": then}
    service = Weir(tmp_path, deploy=deploy, checkpoints={"every_s": 1000, "keep": 2}, progressive={"window": 200})
    with closing(service):
        service.start()

        def learn(events: list[bytes]) -> str:
            before = sum(service.status()["position"].values())
            assert service.post("/events", b"\n".join(events)).status == 202
            service.wait_learnt(before + len(events))
            return service.checkpoint()

        good = learn(synthetic(2000))
        wait_for(lambda: service.status()["tags"].get(TAG) == good)
        worse = learn([*synthetic(20, first=5000, is_flipped=True), *synthetic(180, first=6000)])
        wait_for(lambda: service.status()["tags"].get(TAG) == worse)
        for number in range(2):
            poisoned = learn(synthetic(500, first=10_000 + 500 * number, is_flipped=True))
            assert service.manifest(poisoned).position == {0: 2200 + 500 * (number + 1)}
            wait_for(
                lambda poisoned=poisoned: any(
                    "loss guard" in said and poisoned[:19] in said
                    for said in service.get("/health/ready").body["warnings"]
                )
            )
        stays = good if then == "best" else worse
        assert service.status()["tags"] == {TAG: stays}
        assert service.post(f"/tag/{TAG}/predict", EVENT).body["model"] == stays
        newest = service.get(f"/tags/{TAG}/history").body["history"][:3]
        assert [entry["action"] for entry in newest] == ["held", "deploy", "deploy"]
        assert "loss guard: window.average_loss" in newest[0]["why"]
        service.kill()
        service.start()
        wait_for(lambda: service.status()["tags"] == {TAG: stays})
        recovered = learn(synthetic(6000, first=20_000))
        wait_for(lambda: service.status()["tags"] == {TAG: recovered})


def test_what_a_person_takes_back_stays_until_a_person_lets_checkpoints_follow_again(tmp_path: Path) -> None:
    service = Weir(tmp_path, deploy={"tag": TAG}, checkpoints={"every_s": 1000})
    with closing(service):
        service.start()
        first, second = two_models(service)
        wait_for(lambda: service.status()["tags"].get(TAG) == second)
        assert deployed(service, "-t", TAG, "-b")["primary"] == first
        service.post("/events", synthetic(1, first=9000)[0])
        service.wait_learnt(2001)
        third = service.checkpoint()
        wait_for(lambda: any("-m newest goes on" in said for said in service.get("/health/ready").body["warnings"]))
        assert service.status()["tags"] == {TAG: first}
        assert deployed(service, "-t", TAG, "-m", "newest")["primary"] == third
        service.post("/events", synthetic(1, first=9001)[0])
        service.wait_learnt(2002)
        fourth = service.checkpoint()
        wait_for(lambda: service.status()["tags"] == {TAG: fourth})
