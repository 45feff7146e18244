"""What the page says in words, in a real Chromium: names, what is wrong, since when nobody answers, durations."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from browser import PICTURES, Watched, chromium
from playwright.sync_api import Browser, expect
from weir_process import Weir, closing, synthetic, wait_for

from stream_app.alerts import RULES

OFF = {rule.name: False for rule in RULES}
TEXTS = """
window.told = [];
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
  const width = this.measureText(text).width;
  const left = this.textAlign === "right" ? x - width : this.textAlign === "center" ? x - width / 2 : x;
  const chart = this.canvas.closest(".chart")?.id;
  if (this.getTransform().b === 0) window.told.push([chart, text, left, left + width, this.canvas.width]);
  return fill.call(this, text, x, y, ...more);
};
"""
"""Notes what is written upright in a chart, and from where to where."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def test_the_confusion_has_the_names_of_the_schema(browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path, schema={"labels": {"punctual": -1, "early": 0, "late": 1}})
    words = ("punctual", "late")
    events = [event | {"label": words[event["label"]]} for event in map(json.loads, synthetic(400))]
    with closing(service):
        service.start().post("/events", events)
        service.wait_learnt(400)
        service.checkpoint()
        watched = Watched(browser, service)
        page = watched.page
        cells = service.get("/progress").body["report"]["total"]["confusion"]
        counts = {(cell["actual"], cell["predicted"]): str(int(cell["count"])) for cell in cells}
        kinds = ("negative", "positive")
        names = ("punctual or early", "late")
        expected = [[f"actual {name}", *(counts[a, p] for p in kinds)] for name, a in zip(names, kinds, strict=True)]
        wait_for(lambda: watched.rows("#confusion"), expected.__eq__)
        assert watched.texts("#confusion thead th") == ["predicted punctual or early", "predicted late"]
        expect(page.locator("#confusion-says")).to_contain_text("late is predicted from a probability of 0.5 on")
        expect(page.locator("#scores-says")).to_contain_text(" late.")
        watched.close()
        assert service.stop() == 0


def test_classes_have_the_names_of_the_schema(browser: Browser, tmp_path: Path) -> None:
    args, names = "--oaa 3 --loss_function logistic", {"rock": 1, "sky": 2, "sea": 3}
    service = Weir(tmp_path, model={"task": "multiclass"}, learner={"args": args}, schema={"labels": names})
    words = list(names)
    events = [{"label": words[number % 3], "features": {"a": f"v{number % 3}"}} for number in range(90)]
    with closing(service):
        service.start().post("/events", events)
        service.wait_learnt(90)
        service.checkpoint()
        watched = Watched(browser, service)
        wait_for(lambda: {row[0] for row in watched.rows("#confusion")}, {f"actual {name}" for name in names}.__eq__)
        watched.close()
        assert service.stop() == 0


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_figures_of_a_service_that_is_gone_are_grey_and_say_of_when_they_are(
    width: int, theme: Literal["light", "dark"], browser: Browser, tmp_path: Path
) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().learn(synthetic(300))
        watched = Watched(browser, service, width, color_scheme=theme)
        page = watched.page
        figure = page.locator("#tiles dd").first
        live = {"light": "rgb(27, 31, 36)", "dark": "rgb(232, 234, 237)"}[theme]
        expect(figure).to_have_css("color", live)
        expect(page.locator("#gone")).not_to_be_visible()
        assert service.stop() == 0
        expect(page.get_by_role("alert").filter(has_text="does not answer")).to_contain_text(
            re.compile(r"is of \d+ \w+ \d{4}, \d\d:\d\d:\d\d, the last that was heard of it")
        )
        expect(figure).not_to_have_css("color", live)
        expect(page.locator("#state")).to_have_text("no answer")
        watched.check_accessible()
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"gone-{width}.png")
        watched.wrong.clear()  # Chromium itself notes that nobody answers
        service.start("--port", re.sub(r".*:", "", page.url).rstrip("/"))
        expect(page.locator("#state")).to_have_text("learning, up to date")
        expect(page.locator("#gone")).not_to_be_visible()
        expect(figure).to_have_css("color", live)
        watched.wrong.clear()
        watched.close()
        assert service.stop() == 0


def test_a_service_that_says_nothing_any_more_is_gone_though_its_stream_is_open(
    browser: Browser, tmp_path: Path
) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().checkpoint()
        watched = Watched(browser, service)
        expect(watched.page.locator("#state")).to_have_text("learning, up to date")
        os.kill(service.pid, signal.SIGSTOP)
        expect(watched.page.locator("#state")).to_have_text("no answer")
        os.kill(service.pid, signal.SIGCONT)
        expect(watched.page.locator("#state")).to_have_text("learning, up to date")
        expect(watched.page.locator("#gone")).not_to_be_visible()
        watched.close()
        assert service.stop() == 0


def test_an_alert_says_what_is_wrong_with_its_figure_and_threshold(browser: Browser, tmp_path: Path) -> None:
    rule = {"threshold": 0.05, "for_s": 0.0}
    service = Weir(tmp_path, alerts=OFF | {"every_s": 0.05, "window_s": 3_600.0, "error_rate": rule})
    with closing(service):
        service.start().checkpoint()
        for _ in range(20):
            service.post("/predict", b"garbage")
        wait_for(lambda: service.status()["alerts"])
        watched = Watched(browser, service)
        said = service.get("/watch").body["frame"]["alerts"][0]
        assert said["summary"].endswith("% of the requests failed")
        expect(watched.page.locator("#notices")).to_contain_text(
            f"Alert, error rate: {said['summary']}; it fires above 5.0%. What to do: docs/runbooks/error_rate.md"
        )
        row = watched.page.locator("#alerts tr").filter(has_text="firing")
        expect(row).to_contain_text("of the requests failed: docs/runbooks/error_rate.md")
        watched.close()
        assert service.stop() == 0


def test_a_guess_that_does_better_is_told_with_both_figures(browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path, progressive={"window": 200})
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(1_000)))
        service.post("/events", b"\n".join(synthetic(200, first=1_000, is_flipped=True)))
        service.wait_learnt(1_200)
        service.checkpoint()
        report = service.get("/progress").body["report"]
        assert "majority" in report["beaten_by"]
        own, guess = (of["accuracy"] for of in (report["window"], report["window"]["baselines"]["majority"]))
        watched = Watched(browser, service)
        expect(watched.page.locator("#notices")).to_contain_text(
            "Over the window, the guess “majority” does better than the model: "
            f"accuracy {100 * guess:.1f} %, the model {100 * own:.1f} %."
        )
        watched.close()
        assert service.stop() == 0


def test_what_is_wider_than_its_box_shows_a_shadow_and_is_scrolled_by_keyboard(
    browser: Browser, tmp_path: Path
) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().learn(synthetic(300))
        watched = Watched(browser, service, 390)
        page = watched.page
        for details in page.locator("main details").all():
            details.evaluate("one => one.open = true")
        wide = page.evaluate(
            "[...document.querySelectorAll('main *')].filter((one) => one.scrollWidth > one.clientWidth + 1 && "
            "['auto', 'scroll'].includes(getComputedStyle(one).overflowX)).map((one) => [one.ariaLabel ?? one.id, "
            "one.tabIndex, (getComputedStyle(one).backgroundImage.match(/gradient/g) ?? []).length])"
        )
        assert "Table: checkpoints" in [name for name, *_ in wide]
        assert [(tab, shadows) for _, tab, shadows in wide] == [(0, 4)] * len(wide)
        table = page.get_by_role("region", name="Table: checkpoints")
        table.focus()
        page.keyboard.press("ArrowRight")
        wait_for(lambda: table.evaluate("one => one.scrollLeft"))
        watched.close()
        assert service.stop() == 0


def test_labels_at_the_axes_fit_however_old_events_are(browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().learn(synthetic(300))  # of 2023
        watched = Watched(browser, service, 390)
        watched.page.add_init_script(TEXTS)
        watched.reload()
        years = "window.told.some(([chart, text]) => chart === 'fresh' && text.endsWith(' y'))"
        wait_for(lambda: watched.page.evaluate(years))
        told = watched.page.evaluate("window.told")
        assert [one for one in told if one[2] < 0 or one[3] > one[4]] == []
        expect(watched.page.locator("#fresh-says")).to_contain_text(
            re.compile(r"since the event itself: p50 [\d.]+ (y|d)")
        )
        watched.page.locator("section:has(#fresh)").screenshot(path=PICTURES / "fresh-390.png")
        watched.close()
        assert service.stop() == 0


@pytest.mark.parametrize(
    ("zone", "said"), [("Asia/Tokyo", "Asia/Tokyo, UTC+9"), ("Asia/Kolkata", "UTC+5:30"), ("UTC", "UTC")]
)
def test_times_say_their_zone(zone: str, said: str, browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().checkpoint()
        watched = Watched(browser, service, timezone_id=zone)
        expect(watched.page.locator("#zone")).to_contain_text(said)
        assert watched.text("#zone").startswith("Times: ")
        watched.close()
        assert service.stop() == 0
