"""What people do with the page, in a real Chromium, on services that are not like the demo."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browser import Watched, chromium
from playwright.sync_api import Browser, expect
from weir_process import Weir, closing, synthetic, wait_for

ONLY_ONCE = """
met = set()


def features(event):
    if event["id"] in met:
        raise ValueError("met before")
    met.add(event["id"])
    return event
"""
"""Refuses an event when it is learnt: the first to ask is the check of `/events`."""

EVENT = json.loads(synthetic(1)[0])["features"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def shadows(service: Weir) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/watch").body["frame"]["shadows"]
    return found


def test_a_learner_that_cannot_be_explained_is_not_asked_to(browser: Browser, tmp_path: Path) -> None:
    args = "preprocessing.StandardScaler() | naive_bayes.GaussianNB()"
    service = Weir(tmp_path, learner={"kind": "river", "args": args})
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(300)))
        service.wait_learnt(300)
        service.checkpoint()
        watched = Watched(browser, service)
        expect(watched.page.locator("#features")).to_contain_text("GaussianNB cannot be explained")
        watched.page.locator("#try-event").fill(json.dumps({"features": EVENT}))
        watched.page.locator("#try button[type=submit]").click()
        expect(watched.page.locator("#try-answer")).to_contain_text(" by live@")
        expect(watched.page.locator("#try-reasons")).to_contain_text(
            "Not explained: river's GaussianNB cannot be explained"
        )
        watched.close()
        assert service.status()["unexplained"] == "river's GaussianNB cannot be explained; its linear models can be"
        assert service.stop() == 0


def test_a_dead_letter_stays_open_and_in_focus_while_others_come(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_once.py").write_text(ONLY_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    service = Weir(tmp_path / "weir", hooks={"features": "only_once:features"})
    with closing(service):
        assert service.start().post("/events", synthetic(1)[0]).status == 202
        watched = Watched(browser, service)
        first = watched.page.locator("#dead summary").last
        first.press("Enter")
        expect(watched.page.locator("#dead pre").last).to_be_visible()
        assert service.post("/events", synthetic(1, first=1)[0]).status == 202
        expect(watched.page.locator("#dead details")).to_have_count(2)
        expect(watched.page.locator("#dead pre").last).to_be_visible()
        expect(first).to_be_focused()
        expect(first).to_contain_text("0:0 — hooks.features: ValueError: met before")
        watched.close()
        assert service.stop() == 0


def test_who_else_answers_for_a_tag_stands_beside_its_checkpoint(browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        ids = []
        service.start()
        for number in range(3):
            service.post("/events", synthetic(1, first=number)[0])
            service.wait_learnt(number + 1)
            ids.append(service.checkpoint())
        service.post("/tags/a.production", {"model": ids[0]})
        service.post("/tags/a.production", {"action": "add", "model": ids[1], "weight": 0.25})
        service.post("/tags/a.production", {"action": "add", "model": ids[2]})
        watched = Watched(browser, service)
        expected = {
            ids[0][7:19]: "a.production",
            ids[1][7:19]: "a.production (candidate, 25.0 %)",
            ids[2][7:19]: "a.production (shadow)",
        }
        wait_for(lambda: {row[0].split(" ")[0]: row[5] for row in watched.rows("#checkpoints")}, expected.__eq__)
        watched.page.clock.set_fixed_time(datetime.now(UTC))  # it asks every half minute, which are never over now
        service.post("/tags/a.production", {"action": "remove", "model": ids[2]})
        expect(watched.page.locator("#checkpoints")).not_to_contain_text("(shadow)")
        watched.close()
        assert service.stop() == 0


def test_a_shadow_that_is_far_worse_leaves_the_others_to_be_told_apart(browser: Browser, tmp_path: Path) -> None:
    bad = "--loss_function logistic --link logistic --sgd -l 5000"
    service = Weir(tmp_path, shadows={"learners": {"bad": {"args": bad, "begin": "start"}}})
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(1_000)))
        service.wait_learnt(1_000)
        service.checkpoint()
        wait_for(lambda: any((one["status"] or {}).get("figures", {}).get("loss") for one in shadows(service)))
        watched = Watched(browser, service)
        expect(watched.page.locator("#loss-says")).to_contain_text("above the chart")
        watched.close()
        assert service.stop() == 0
