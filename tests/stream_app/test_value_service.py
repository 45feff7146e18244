"""The value that a real service counts: equal to a recount, the same bytes after kill -9, and that of its shadows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patient_service import PATIENT, PROGRAM
from weir_process import DECIDING, Weir, closing, run_weir, synthetic, wait_for

from checkpoints import open_store
from formats.example import labels_of
from stream_app import config
from stream_app.relearning import own_trainer
from stream_app.sources.source import Records

CELLS = {("NO", "NO"): 700, ("NO", "YES"): -500, ("YES", "NO"): -100, ("YES", "YES"): 700}
FTRL = "--loss_function logistic --link logistic --ftrl"
LABELS = {"labels": {"NO": -1, "YES": 1}}
CALM = {"every_s": 1000, "every_events": 100_000}


def value_of(cells: dict[tuple[str, str], int], currency: str = "USD") -> dict[str, Any]:
    named = [f'{{actual = "{a}", predicted = "{p}", value = {each}}}' for (a, p), each in cells.items()]
    return {"WEIR_VALUE_CELLS": f"[{', '.join(named)}]", "WEIR_VALUE_CURRENCY": currency}


class Airline(Weir):
    """A service whose money stands in its settings."""

    def configure(self, **settings: Any) -> None:
        cells = settings.pop("cells", CELLS)
        super().configure(schema=LABELS, checkpoints=CALM, **settings)
        if cells:
            money = value_of(cells)["WEIR_VALUE_CELLS"]
            self.toml.write_text(f"{self.toml.read_text()}\n[value]\ncells = {money}\n")


def flights(count: int, first: int = 0) -> list[bytes]:
    """Labels as airlines write them; in pieces of 500, so that a part of a stream is a part of it."""
    events = [event for at in range(first, first + count, 500) for event in synthetic(500, first=at)]
    return [
        event.replace(b'"label":1', b'"label":"YES"').replace(b'"label":0', b'"label":"NO"') for event in events[:count]
    ]


def learnt(service: Weir, count: int, first: int = 0) -> None:
    before = sum(service.status()["position"].values())
    assert service.post("/events", b"\n".join(flights(count, first))).status == 202
    service.wait_learnt(before + count)


def recount(events: Sequence[bytes], args: str | None = None) -> dict[tuple[str, str], int]:
    """The cells at 0.5, from a learner of our own, row by row."""
    tree = {"schema": LABELS} | ({"learner": {"args": args}} if args is not None else {})
    trainer = own_trainer(config.of(tree))
    found = dict.fromkeys(CELLS, 0)

    def scored(examples: Any, learnt: Any) -> None:
        probabilities = trainer.parts.learner.probabilities(np.array(learnt.predictions))
        for label, probability in zip(labels_of(examples), probabilities, strict=True):
            found["YES" if label > 0 else "NO", "YES" if probability >= 0.5 else "NO"] += 1

    trainer.scorer = scored
    trainer.learn_whole(Records(0, 0, list(events), 0.0))
    return found


def worth(counts: dict[tuple[str, str], int], cells: dict[tuple[str, str], int] = CELLS) -> float:
    return float(sum(cells[name] * count for name, count in counts.items()))


def counts_of(figures: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(cell["actual"], cell["predicted"]): cell["count"] for cell in figures["cells"]}


def test_figures_equal_a_recount_and_a_kill_changes_no_byte(tmp_path: Path) -> None:
    service, never = Airline(tmp_path / "a"), Airline(tmp_path / "b")
    with closing(service, never):
        service.start()
        never.start()
        for first in range(0, 4500, 1500):
            learnt(service, 1500, first)
            learnt(never, 1500, first)
            if first == 0:
                service.checkpoint()
            service.kill()
            service.start()
        service.wait_learnt(4500)
        found, status = service.get("/value").body, service.status()
        counts = recount(flights(4500))
        assert counts_of(found["total"]) == counts
        assert found["total"]["value"] == worth(counts)
        assert found["window"]["value"] == worth(counts) - worth(recount(flights(3500)))
        assert found == never.get("/value").body
        per_1000 = 1000 * worth(counts) / 4500
        window = found["window"]["value"]
        assert status["value"] == {"currency": "USD", "total": worth(counts), "window": window, "per_1000": per_1000}
        assert service.stop() == never.stop() == 0
        assert service.blob("value") == never.blob("value")
        assert service.deciding() == never.deciding()
        listed = service.command("checkpoints", "list", "--where", f"value = {worth(counts):.0f}", "--json")
        assert [one["id"] for one in json.loads(listed.out)["checkpoints"]] == [service.head()]
        assert service.command("verify").code == 0


def test_money_that_is_set_or_changed_later_is_counted_from_there_or_again(tmp_path: Path) -> None:
    service, other = Airline(tmp_path, cells=None), {**CELLS, ("YES", "NO"): -900}
    with closing(service):
        service.start()
        learnt(service, 1500)
        answer = service.get("/value")
        assert answer.status == 404
        assert "value.cells" in answer.body["error"]["message"]
        assert service.status()["value"] is None
        assert service.stop() == 0
        service.configure()
        service.start("--verbose")
        learnt(service, 1500, 1500)
        found = service.get("/value").body
        assert (found["since"], found["total"]["count"]) == (1500, 1500)
        assert service.stop() == 0
        service.configure(cells=other)
        service.start("--verbose")
        now = service.get("/value").body
        assert counts_of(now["total"]) == counts_of(found["total"])
        assert now["total"]["value"] == worth(counts_of(found["total"]), other)
        assert (now["progressive"]["since"], now["hindsight"]["value"] >= now["total"]["value"]) == (1024, True)
        assert service.stop() == 0
    said = service.stderr.read_text()
    assert "value: counted from here on, after 1500 examples" in said
    assert "value: other money: the progressive threshold begins anew after 1024 examples" in said


def test_the_value_of_a_shadow_is_that_of_the_same_events(tmp_path: Path) -> None:
    learners = {"other": {"args": FTRL, "begin": "start"}}
    service = Airline(tmp_path, shadows={**PATIENT, "learners": learners})
    service.program = PROGRAM
    with closing(service):
        service.start()
        learnt(service, 2500)
        found = wait_for(
            lambda: next((one for one in service.get("/value").body["shadows"] if one["count"] == 2500), None)
        )
        own, primary = worth(recount(flights(2500), FTRL)), worth(recount(flights(2500)))
        assert (found["value"], found["primary_value"], found["over_primary"]) == (own, primary, own - primary)
        assert found["per_1000"] == 1000 * own / 2500
        last = service.get("/shadows?over=500").body["shadows"][0]["over"]
        assert last["value"] == own - worth(recount(flights(2000), FTRL))
        told = service.command("value", environment={"WEIR_HTTP_PORT": service.port})
        assert f"{primary:,.2f}" in told.out
        assert "shadow other" in told.out
        same = service.command("value", "--json", environment={"WEIR_HTTP_PORT": service.port})
        assert json.loads(same.out) == service.get("/value").body
        assert service.stop() == 0


def test_a_model_whose_labels_had_other_names_is_still_served_and_proven(tmp_path: Path) -> None:
    service = Airline(tmp_path)
    with closing(service):
        service.start()
        learnt(service, 1500)
        service.checkpoint()
        learnt(service, 1500, 1500)
        model = service.checkpoint()
        assert service.stop() == 0
        renamed = service.toml.read_text().replace("NO", "ONTIME").replace("YES", "LATE")
        service.toml.write_text(renamed)
        assert service.command("verify", model).code == 0
        service.start()
        assert service.get("/value").body["total"]["cells"][0]["actual"] == "ONTIME"
        assert service.post(f"/model/{model}/predict", {"features": {"f": {"carrier": "A"}}}).status == 200
        assert service.stop() == 0


def test_what_a_package_says_that_decisions_were_worth_is_proven(tmp_path: Path) -> None:
    service, other = Airline(tmp_path / "a"), Airline(tmp_path / "b")
    with closing(service, other):
        for one, first in ((service, 0), (other, 7000)):
            one.start()
            learnt(one, 2500, first)
        model = service.checkpoint()
        assert service.stop() == other.stop() == 0
        store = open_store(str(service.checkpoints))
        real = store.load(model)
        blobs = {**real.blobs, "value": other.blob("value")}
        made_up = store.keep(type(real).of(real.manifest, blobs), store.list()[0].note)
        for cells, code, says in [
            (CELLS, 0, "give the same bytes"),
            ({**CELLS, ("YES", "NO"): -900}, 0, "give the same bytes"),
            (None, 0, "[value] is not set: what decisions were worth was not compared"),
        ]:
            service.configure(cells=cells)
            ran = service.command("verify", model, "--json")
            assert (ran.code, says in ran.out) == (code, True), cells
            ran = service.command("verify", made_up, "--json")
            assert (ran.code, "blob 'value' not what" in ran.out) == ((1, True) if cells else (0, False)), cells


def test_a_bounded_run_and_a_service_give_the_same_value(tmp_path: Path) -> None:
    service = Airline(tmp_path / "a")
    events, out = tmp_path / "events.jsonl", tmp_path / "trained"
    events.write_bytes(b"\n".join(flights(3000)))
    with closing(service):
        service.start()
        learnt(service, 3000)
        assert service.stop() == 0
    assert run_weir("train", str(events), "--out", str(out), "-c", str(service.toml)).code == 0
    store = open_store(str(out))
    trained = store.load(str(store.head()))
    assert trained.blobs["value"] == service.blob("value")
    for name in set(DECIDING) - {"names"}:
        assert trained.blobs[name] == service.blob(name), name


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_money_for_another_task_is_refused(task: str, tmp_path: Path) -> None:
    service = Airline(tmp_path, model={"task": task})
    ran = service.command("check")
    assert "value: a task" in ran.out + ran.err
    assert ran.code != 0
