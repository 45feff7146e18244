"""Shadows see everything and answer nobody; what goes wrong in them hurts nobody."""

import json
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from patient_service import PATIENT, PROGRAM
from weir_process import DECIDING, Weir, closing, run_weir, synthetic, wait_for

from checkpoints import open_store
from checkpoints.manifest import Manifest
from stream_app.sources.log_view import LogView

EVENT = {"features": {"f": {"carrier": "A", "origin": "O3", "hour": 19}, "n": 2}}
TAG = "flights.production"
FTRL = "--loss_function logistic --link logistic --ftrl"
RIVER = "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()"


class Asking(Weir):
    """A service that is asked how its shadows did over some events, and waits for what they answer."""

    program = PROGRAM


def shadows(service: Weir, over: int | None = None) -> dict[str, dict[str, Any]]:
    answer = service.get(f"/shadows?over={over}" if over is not None else "/shadows")
    assert answer.status == 200, answer
    return {one["name"]: one for one in answer.body["shadows"]}


def all_run(service: Weir, count: int) -> dict[str, dict[str, Any]] | None:
    found = shadows(service)
    return found if len(found) == count and all(one["state"] == "running" for one in found.values()) else None


def wait_until(service: Weir, is_so: Callable[[], object]) -> None:
    """Wait for what shadows get nearer to by working: they are the last to get a turn on a loaded machine."""
    wait_for(lambda: (bool(is_so()), worked(service)), lambda seen: seen[0])


def worked(service: Weir) -> int:
    """The clock ticks that its shadows have had so far."""
    ticks = 0
    for pid in shadow_pids(service):
        with suppress(FileNotFoundError, ProcessLookupError):
            ticks += int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    return ticks


def told(service: Weir, figure: str) -> set[Any]:
    """What all of them, which run, say of this figure."""
    return {one["status"][figure] for one in shadows(service).values()}


def position_of(service: Weir, name: str) -> int:
    """How far a shadow has come; -1 before it says so."""
    status = shadows(service)[name]["status"]
    return -1 if status is None else sum(status["position"].values())


def learnt(service: Weir, count: int, first: int = 0) -> None:
    before = sum(service.status()["position"].values())
    assert service.post("/events", b"\n".join(synthetic(count, first=first))).status == 202
    service.wait_learnt(before + count)


def shadow_pids(service: Weir) -> list[int]:
    """Children of the service."""
    return [int(pid) for pid in Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()]


def test_three_shadows_get_all_the_traffic_and_removing_one_changes_no_byte_to_the_client(tmp_path: Path) -> None:
    service = Asking(tmp_path, checkpoints={"every_s": 1000, "keep": 100}, shadows=PATIENT)
    with closing(service):
        service.start()
        models = []
        for first in range(0, 2000, 500):
            learnt(service, 500, first)
            models.append(service.checkpoint())
        service.post(f"/tags/{TAG}", {"model": models[-1]})
        without = [service.post(f"/tag/{TAG}/predict", EVENT).body for _ in range(5)]
        for model in models[:3]:
            assert service.post(f"/tags/{TAG}", {"action": "add", "model": model}).status == 200
        wait_until(service, lambda: all_run(service, 3))
        asked = [{"features": json.loads(event)["features"]} for event in synthetic(400, seed=4)]
        answers = []
        for event in asked:
            answers.append(service.post(f"/tag/{TAG}/predict", event).body)
            if len(answers) % 100 == 0:  # more might be dropped where shadows wait for their turn
                wait_until(service, lambda: told(service, "requests") == {len(answers)})
        learnt(service, 1000, 9000)
        wait_until(service, lambda: told(service, "records") == {1000})
        for name, one in shadows(service, over=500).items():
            model = next(model for model in models if model[7:19] in name)
            assert (one["offered"], one["dropped"], one["restarts"]) == (400, 0, 0)
            assert one["status"]["failed"] == one["status"]["unpaired"] == 0
            theirs = [service.post(f"/model/{model}/predict", event).body["prediction"] for event in asked]
            ours = [answer["prediction"] for answer in answers]
            pairs = list(zip(ours, theirs, strict=True))
            assert one["status"]["disagreements"] == sum((a >= 0.5) != (b >= 0.5) for a, b in pairs)
            assert one["status"]["mean_difference"] == pytest.approx(sum(abs(a - b) for a, b in pairs) / 400)
            assert one["status"]["figures"]["examples"] == 1000
            assert one["over"]["examples"] == 500
        assert service.post(f"/tags/{TAG}", {"action": "remove", "model": models[1]}).status == 200
        assert [service.post(f"/tag/{TAG}/predict", event).body for event in asked] == answers
        assert [service.post(f"/tag/{TAG}/predict", EVENT).body for _ in range(5)] == without
        wait_for(lambda: len(shadow_pids(service)) == 2)
        assert service.stop() == 0


def test_shadows_that_raise_or_hang_or_are_killed_hurt_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    hanging = {"hangs": {"kind": "river", "args": "shadow_learners:hanging", "begin": "start"}}
    broken = {
        "raises": {"kind": "river", "args": "shadow_learners:raising", "begin": "start"},
        "sound": {"kind": "vw", "args": FTRL},
    }
    calm = {"every_s": 1000, "every_events": 1000}
    slow = Weir(tmp_path / "a", checkpoints=calm, shadows={"patience_s": 10.0, "learners": hanging})
    service = Weir(tmp_path / "b", checkpoints=calm, shadows={**PATIENT, "learners": broken})
    plain = Weir(tmp_path / "c", checkpoints=calm)
    service.is_raised_by_users = "RuntimeError: this learner is broken"
    with closing(slow, service, plain):
        assert same_answers(slow, service, plain, first=0, count=1000)
        wait_for(lambda: shadows(slow)["hangs"]["restarts"] and shadows(service)["raises"]["restarts"])
        assert "shadow hangs: killed: it said nothing for 10 s" in slow.stderr.read_text()
        assert "shadow raises: RuntimeError: this learner is broken\nTraceback" in service.stderr.read_text()
        for pid in shadow_pids(service) + shadow_pids(slow):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert same_answers(slow, service, plain, first=5000, count=2000)
        wait_until(service, lambda: position_of(service, "sound") == 3000)
        assert [one.get("/health/ready").body["problems"] for one in (slow, service)] == [[], []]
        assert slow.stop() == service.stop() == plain.stop() == 0
    assert slow.deciding() == service.deciding() == plain.deciding()


def same_answers(*services: Weir, first: int, count: int) -> bool:
    """Whether all of them answer the same after these events; started where that is to be done."""
    said = []
    for one in services:
        if not first:
            one.start()
        learnt(one, count, first)
        said.append([one.post("/predict", {"id": str(number), **EVENT}).body for number in range(50)])
    return all(one == said[0] for one in said)


@pytest.mark.parametrize(("kind", "args", "count"), [("vw", FTRL, 8000), ("river", RIVER, 3000)])
def test_a_learning_shadow_killed_again_and_again_ends_as_training_alone(
    kind: str, args: str, count: int, tmp_path: Path
) -> None:
    learners = {"other": {"kind": kind, "args": args, "begin": "start"}}
    service, chance = Weir(tmp_path / "a", shadows={**PATIENT, "learners": learners}), random.Random(7)
    quarters = range(0, count, count // 4)
    with closing(service):
        service.start()
        for first in quarters:
            learnt(service, count // 4, first)
            at = first + chance.randrange(count // 5)
            wait_until(service, lambda at=at: position_of(service, "other") >= at)
            restarts = shadows(service)["other"]["restarts"]
            for pid in shadow_pids(service):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda restarts=restarts: shadows(service)["other"]["restarts"] > restarts)
        wait_until(service, lambda: position_of(service, "other") == count)
        assert shadows(service)["other"]["restarts"] == 4
        assert service.stop() == 0
    store = open_store(str(service.state / "shadows" / "other" / "checkpoints"))
    shadow = store.load(str(store.head()))
    assert shadow.manifest.position == {0: count}
    events, out = tmp_path / "events.jsonl", tmp_path / "trained"
    events.write_bytes(b"\n".join(event for first in quarters for event in synthetic(count // 4, first=first)))
    toml = tmp_path / "train.toml"
    toml.write_text(f"[learner]\nkind = '{kind}'\nargs = '''{args}'''\n")
    assert run_weir("train", str(events), "--out", str(out), "-c", str(toml)).code == 0
    trained = open_store(str(out))
    blobs = trained.load(str(trained.head())).blobs
    for name in set(DECIDING) - {"names"}:
        assert shadow.blobs[name] == blobs[name], name


def compared(service: Weir, **examples: int) -> dict[str, dict[str, Any]]:
    """The figures of the shadows once they have compared so many examples."""

    def figures() -> dict[str, dict[str, Any]]:
        return {name: one["status"]["figures"] for name, one in shadows(service).items() if one["status"] is not None}

    return wait_for(figures, lambda found: {name: one["examples"] for name, one in found.items()} == examples)


def test_what_is_compared_goes_on_over_restarts_and_kills(tmp_path: Path) -> None:
    learners = {"other": {"args": FTRL, "begin": "start"}}
    settings: dict[str, Any] = {"checkpoints": {"every_events": 600}, "shadows": {**PATIENT, "learners": learners}}
    service, never = Weir(tmp_path / "a", **settings), Weir(tmp_path / "b", **settings)
    with closing(service, never):
        frozen = ""
        for number in range(4):
            for one in (service, never) if not number else (service,):
                one.start()
            for one in (service, never):
                learnt(one, 700, 700 * number)
                if not number:
                    one.post(f"/tags/{TAG}", {"model": "live"})
                    model = one.checkpoint()
                    frozen = f"{TAG}-{model[7:19]}"
                    assert one.post(f"/tags/{TAG}", {"action": "add", "model": model}).status == 200
                    wait_until(one, lambda one=one: all_run(one, 2))
            if number:
                compared(service, **{"other": 700 * (number + 1), frozen: 700 * number})
            if number == 1:
                assert service.stop() == 0
            else:
                service.kill()
        service.start()
        ours, theirs = (compared(one, **{"other": 2800, frozen: 2100}) for one in (service, never))
        for name, figures in ours.items():
            for figure in ("loss", "primary_loss", "behind", "low", "high"):
                assert figures[figure] == pytest.approx(theirs[name][figure], rel=1e-9), (name, figure)
        assert service.stop() == never.stop() == 0


def test_after_a_rollback_shadows_are_held_against_the_model_that_is_live_then(tmp_path: Path) -> None:
    learners = {"running": {"args": FTRL, "begin": "start"}, "behind": {"args": FTRL, "begin": "start"}}
    calm = {**PATIENT, "learners": learners}
    service = Weir(tmp_path, progressive={"window": 1000}, checkpoints={"keep": 100}, shadows=calm)
    with closing(service):
        service.start()
        wait_until(service, lambda: all_run(service, 2))
        behind = next(pid for pid in shadow_pids(service) if is_of(pid, service.state / "shadows" / "behind"))
        os.kill(behind, signal.SIGSTOP)
        learnt(service, 1000)
        good = service.checkpoint()
        events = map(json.loads, synthetic(500, first=1000))
        poison = [json.dumps({**event, "label": 1 - event["label"]}).encode() for event in events]
        assert service.post("/events", b"\n".join(poison)).status == 202
        service.wait_learnt(1500)
        wait_for(lambda: shadows(service)["running"]["status"]["records"], lambda records: records == 1500)
        before = set(shadow_pids(service))
        service.rollback(good, "--skip")
        wait_until(service, lambda: before.isdisjoint(shadow_pids(service)) and all_run(service, 2))
        learnt(service, 1000, 5000)
        found = compared(service, running=1000, behind=1000)
        window = service.get("/progress").body["report"]["window"]["log_loss"]
        for name, figures in found.items():
            assert figures["primary_loss"] == pytest.approx(window, rel=1e-6), name
        assert shadows(service)["behind"]["status"]["position"] == {"0": 2500}
        assert service.stop() == 0


async def test_a_shadow_whose_next_records_retention_has_removed_begins_anew_and_says_so(tmp_path: Path) -> None:
    service = Weir(tmp_path, **RETAINED, shadows=SLOW)
    with closing(service):
        service.start()
        learnt(service, 1000)
        wait_for(lambda: shadows(service)["slow"]["status"], lambda status: status["position"] == {"0": 1000})
        assert service.stop() == 0
        service.configure(**RETAINED)  # nobody looks after the shadow meanwhile
        service.start()
        end = 1000
        while (begin := await first_kept(service)) <= 1000:
            learnt(service, 200, end)
            service.checkpoint()
            end += 200
        assert service.stop() == 0
        service.configure(**RETAINED, shadows=SLOW)
        service.start()
        status = wait_for(lambda: shadows(service)["slow"]["status"], lambda status: status["position"] == {"0": end})
        assert f"retention removed 0:1000-{begin - 1} before it learnt them" in status["anew"]
        assert any(status["anew"] in warning for warning in service.get("/health/ready").body["warnings"])
        assert f"shadow slow: {status['anew']}" in service.stderr.read_text()
        told = service.command("shadows", environment={"WEIR_HTTP_PORT": service.port}).out
        assert f"slow {status['anew']}" in told
        learnt(service, 500, end)
        (figures,) = compared(service, slow=500).values()
        window = service.get("/progress").body["report"]["window"]["log_loss"]
        assert figures["primary_loss"] == pytest.approx(window, rel=1e-6), "held against the model that is live"
        assert service.stop() == 0
    before, now = (
        manifest_of(service.state / "shadows" / "slow" / name) for name in ("checkpoints-before", "checkpoints")
    )
    assert (before.position, before.metrics["total"]["examples"]) == ({0: 1000}, 1000)
    assert (now.position, now.metrics["total"]["examples"]) == ({0: end + 500}, end + 500 - begin)


RETAINED: dict[str, Any] = {
    "source": {"retain_bytes": 0}, "checkpoints": {"keep": 1}, "progressive": {"window": 500}
}  # fmt: skip
SLOW: dict[str, Any] = {**PATIENT, "learners": {"slow": {"args": FTRL, "begin": "start"}}}


async def first_kept(service: Weir) -> int:
    view = LogView(service.log)
    try:
        return view.start()[0]
    finally:
        await view.close()


def manifest_of(folder: Path) -> Manifest:
    store = open_store(str(folder))
    return store.load(str(store.head())).manifest


def is_of(pid: int, folder: Path) -> bool:
    """Whether this process has a file open in the folder."""
    opened = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            opened.append(str(link.readlink()))
    return any(str(folder) in path for path in opened)


def test_with_its_service_a_shadow_dies(tmp_path: Path) -> None:
    service = Weir(tmp_path, shadows={**PATIENT, "learners": {"other": {"args": FTRL}}})
    with closing(service):
        service.start()
        wait_until(service, lambda: all_run(service, 1))
        pids = shadow_pids(service)
        assert len(pids) == 1
        service.kill()
        wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))


def test_shadows_of_a_fraction_hear_that_fraction(tmp_path: Path) -> None:
    service = Weir(tmp_path, shadows={**PATIENT, "fraction": 0.25, "learners": {"other": {"args": FTRL}}})
    with closing(service):
        service.start()
        wait_until(service, lambda: all_run(service, 1))
        asked = [{"features": json.loads(event)["features"]} for event in synthetic(400, seed=4)]
        service.post("/predict", asked)
        assert 60 < shadows(service)["other"]["offered"] < 140
        assert service.get("/shadows?over=0").status == 400


def test_a_shadow_is_promoted_when_it_is_better_and_every_decision_stands_in_the_history(tmp_path: Path) -> None:
    service = Asking(tmp_path, checkpoints={"every_s": 1000, "keep": 100}, shadows=PATIENT)
    with closing(service):
        service.start()
        learnt(service, 20)
        worse = service.checkpoint()
        learnt(service, 3000, 100)
        better = service.checkpoint()
        service.post(f"/tags/{TAG}", {"model": worse})
        service.post(f"/tags/{TAG}", {"action": "add", "model": better})
        wait_until(service, lambda: all_run(service, 1))
        learnt(service, 2000, 9000)
        wait_until(service, lambda: told(service, "records") == {2000})

        def promoted(condition: str, *options: str, code: int) -> Any:
            arguments = ("promote", "-t", TAG, "--if", condition, "--json", *options)
            ran = service.command(*arguments, environment={"WEIR_HTTP_PORT": service.port})
            assert ran.code == code, ran
            return json.loads(ran.out)["decisions"][0] if ran.out else ran.err

        assert promoted("log_loss < primary - 0.01 over 1500 surely", code=0)["is_promoted"]
        assert service.get(f"/tags/{TAG}").body["primary"] == worse, "only --yes acts"
        assert "only 2000 labelled events" in promoted("log_loss < primary over 5000", code=1)["why"]
        assert not promoted("log_loss < primary - 10 over 1500", "--yes", code=1)["is_promoted"]
        assert "'accuracy' is no name here" in promoted("accuracy < primary over 1500", code=2)
        assert "'accuracy' is no name here" in promoted("accuracy < primary over 5000", code=2), (
            "before there are enough"
        )
        assert "expected such as" in promoted("log_loss < primary", code=2)
        table = service.command("shadows", "--over", "1500", environment={"WEIR_HTTP_PORT": service.port}).out
        assert "running" in table
        assert promoted("log_loss < primary - 0.01 over 1500 surely", "--yes", code=0)["model"] == better
        history = service.get(f"/tags/{TAG}/history").body["history"]
        assert [entry["action"] for entry in history] == ["deploy", "held", "add", "deploy"]
        assert history[0]["figures"]["if"] == "log_loss < primary - 0.01 over 1500 surely"
        assert history[0]["figures"]["loss"] < history[0]["figures"]["primary_loss"]
        assert (history[0]["primary"], history[0]["shadows"]) == (better, [])
