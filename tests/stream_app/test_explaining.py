"""`/predict?explain=1`, `weir explain`, `weir importance`: why, as users ask it, of real services and processes."""

import json
from pathlib import Path

import pytest
from test_http import EVENT, asked, learnt, serving
from test_weights import LOGISTIC, ROWS, trained, vw_lines, weir
from weir_process import Weir, closing, synthetic

ASKED = json.dumps({"features": {"f": {"carrier": "A", "origin": "O3", "hour": 19}, "n": 2}})


@pytest.mark.parametrize("args", ["--loss_function logistic -q ff", "--loss_function logistic --link logistic"])
async def test_fields_reasons_and_raw_score_stand_beside_contributions(settings_in, args):
    async with serving(settings_in(learner={"args": args})) as (service, client):
        await asked(
            client, "POST", "/events", [EVENT, EVENT | {"label": 0, "features": {"f": {"a": 1, "b": "y"}}}] * 20
        )
        await learnt(service)
        _, plain, _ = await asked(client, "POST", "/predict", EVENT)
        assert set(plain) == {"id", "prediction", "model"}
        _, answer, _ = await asked(client, "POST", "/predict?explain=1", EVENT)
        assert {name: answer[name] for name in plain} == plain
        for rows in (answer["contributions"], answer["fields"]):
            assert sum(row["contribution"] for row in rows) == pytest.approx(answer["raw"], abs=1e-6)
        assert {row["field"] for row in answer["fields"]} == {"f^a", "f^b", "Constant"}
        assert {row["feature"] for row in answer["contributions"]} >= {"f^a", "f^b=x", "Constant"}
        assert ("f^a*f^b=x" in {row["feature"] for row in answer["contributions"]}) == ("-q" in args)
        assert all(row["contribution"] > 0 for row in answer["reasons"]["for"])
        assert all(row["contribution"] < 0 for row in answer["reasons"]["against"])
        assert answer["collisions"] == 0


async def test_stored_models_and_river_explain_alike_and_others_say_that_they_cannot(settings_in):
    river = "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()"
    event = {"label": 1, "features": {"a": "x", "b": "y"}}
    async with serving(settings_in(learner={"kind": "river", "args": river})) as (service, client):
        await asked(client, "POST", "/events", [event, event | {"label": 0, "features": {"a": "z"}}] * 9)
        await learnt(service)
        _, taken, _ = await asked(client, "POST", "/checkpoints", {})
        for path in ("/predict", f"/model/{taken['id']}/predict"):
            _, answer, _ = await asked(client, "POST", f"{path}?explain=1", event)
            assert {row["field"] for row in answer["fields"]} == {"a", "b", "Constant"}
            assert sum(row["contribution"] for row in answer["fields"]) == pytest.approx(answer["raw"])
        _, answer, _ = await asked(client, "GET", f"/checkpoints/{taken['id']}/importance")
        assert {one["name"] for one in answer["fields"]} == {"a", "b"}


async def test_a_learner_that_cannot_be_explained_says_why(settings_in):
    async with serving(settings_in(learner={"args": "--nn 3"})) as (_, client):
        status, answer, _ = await asked(client, "POST", "/predict?explain=1", EVENT)
        assert (status, answer["error"]["code"]) == (400, "not_possible")
        assert "nn cannot be explained" in answer["error"]["message"]
        _, taken, _ = await asked(client, "POST", "/checkpoints", {})
        status, answer, _ = await asked(client, "GET", f"/checkpoints/{taken['id']}/importance")
        assert (status, answer["error"]["code"]) == (400, "not_possible")


async def test_importance_of_a_checkpoint_and_since_another_one(settings_in):
    async with serving(settings_in()) as (service, client):
        ids = []
        for first in (0, 1000):
            await asked(client, "POST", "/events", b"\n".join(synthetic(1000, first=first)))
            await learnt(service)
            ids.append((await asked(client, "POST", "/checkpoints", {}))[1]["id"])
        before = service.trainer.parts.learner.state()
        status, answer, _ = await asked(client, "GET", f"/checkpoints/{ids[1]}/importance?since={ids[0]}&top=3")
        assert (status, answer["model"], answer["since"]["before"]) == (200, ids[1], ids[0])
        assert [len(answer["fields"]), len(answer["features"]), len(answer["since"]["features"])] == [3, 3, 3]
        assert answer["since"]["rank_correlation"] == pytest.approx(1.0, abs=0.5)
        assert service.trainer.parts.learner.state() == before
        status, answer, _ = await asked(client, "GET", f"/checkpoints/{ids[1]}/importance?top=none")
        assert (status, answer["error"]["field"]) == (400, "top")
        assert (await asked(client, "GET", "/checkpoints/sha256.00000000/importance"))[0] == 404
        status = service.status()["importance"]
        assert set(status) == {"model", "rank_correlation", "problem"}


def test_an_event_is_explained_by_the_newest_checkpoint_or_another_one(tmp_path: Path) -> None:
    service = Weir(tmp_path, learner={"args": "--loss_function logistic -q ff"})
    with closing(service):
        service.start()
        said = []
        for first in (0, 500):
            service.post("/events", b"\n".join(synthetic(500, first=first)))
            service.wait_learnt(first + 500)
            model = service.checkpoint()
            ran = service.command("explain", ASKED, "--json")
            said.append((model, json.loads(ran.out)))
            assert said[-1][1] == {"id": None, "model": model, **said[-1][1]}
            assert service.post("/predict?explain=1", ASKED.encode()).body | {"model": model} == said[-1][1]
    older = json.loads(service.command("explain", ASKED, "--model", said[0][0][7:19], "--json").out)
    assert older == said[0][1]
    assert older["raw"] == pytest.approx(sum(one["contribution"] for one in older["fields"]), abs=1e-6)
    (tmp_path / "event.json").write_text(ASKED)
    table = service.command("explain", f"@{tmp_path}/event.json", "--top", "3")
    assert "raw score" in table.out
    assert "▇" in table.out
    assert "more features (--top)" in table.err
    for event, said in {
        "event.json": "EVENT: 'event.json' is the name of a file: to read it, write @event.json",
        "@nofile": "EVENT: '@nofile': the file 'nofile' cannot be read (No such file or directory); expected an event",
        "what?": "EVENT: not JSON: unexpected character",
        " ": "EVENT: ' ': there is no event in it; expected an event",
        f"[{ASKED}, {ASKED}]": "EVENT: 2 events in it: expected one",
    }.items():
        for command in (("explain",), ("at", "500", "predict")):
            told = weir(*command, event, "-c", str(service.toml), cwd=tmp_path, code=2).stderr
            assert told.startswith(f"weir: {said}"), told
            assert told.count("\n") == 1
    for arguments in ((), (ASKED, "--prediction", "x"), ("--prediction", "x", "--model", "12345678")):
        ran = service.command("explain", *arguments)
        assert (ran.code, "give an EVENT" in ran.err) == (2, True)


def test_importance_of_a_trained_model_by_name(tmp_path: Path) -> None:
    trained(tmp_path, args=f"{LOGISTIC} -q fg")
    told = json.loads(weir("importance", "--store", "models", "--json", "--top", "5", cwd=tmp_path).stdout)
    assert told["examples"] == -(-len(ROWS) // 16)
    assert {one["name"] for one in told["fields"]} == {"f^k", "f^n", "g^c"}
    assert len(told["features"]) == 5
    assert told["since"] is None
    table = weir("importance", told["model"][7:19], "--store", "models", "--since", told["model"], cwd=tmp_path)
    assert "rank correlation of fields 1.000, of features 1.000" in table.stdout
    assert "f^k=" in table.stdout


def test_importance_of_what_cannot_be_explained_is_refused_in_one_line(tmp_path: Path) -> None:
    vw_lines(tmp_path)
    weir("train", "lines.vw", "--format", "vw", "--vw-args", "--nn 2", "--out", "models", cwd=tmp_path)
    refused = weir("importance", "--store", "models", cwd=tmp_path, code=2)
    assert "nn cannot be explained" in refused.stderr
