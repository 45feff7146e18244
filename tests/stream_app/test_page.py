"""The page, in a real Chromium: its panels show what the service says, and its buttons do what they say."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from browser import PICTURES, Watched, chromium
from playwright.sync_api import Browser, expect
from weir_process import Weir, append, closing, synthetic, wait_for

TOKEN = "a secret of the test"
EVENTS = synthetic(3_000)
POISON = b'{"id": "poison", "label": "<b>perhaps</b>", "features": {}}'
EVENT = json.loads(EVENTS[0])["features"]
VALUE = """
[value]
cells = [
  {actual = 0, predicted = 0, value = 700}, {actual = 0, predicted = 1, value = -500},
  {actual = 1, predicted = 0, value = -100}, {actual = 1, predicted = 1, value = 700},
]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    """It has learnt, predicted, heard labels and met poison, and does nothing more."""
    service = Weir(tmp_path_factory.mktemp("page"), model={"name": "flights"}, checkpoints={"every_events": 500})
    service.toml.write_text(service.toml.read_text() + VALUE)
    put(service, [*EVENTS[:2_000], POISON])
    with closing(service):
        service.start().wait_learnt(2_001)
        good = service.checkpoint()
        service.post("/tags/flights.production", {"model": good, "why": "the first one"})
        for number in range(40):
            service.post("/predict", {"id": f"asked-{number}", "features": EVENT})
        for number in range(30):
            assert service.post("/labels", {"id": f"asked-{number}", "label": number % 2}).status == 202
        assert service.post("/labels", {"id": "asked-0", "label": 1}).status == 409
        assert service.post("/labels", {"id": "nobody", "label": 1}).status == 404
        service.post("/events", b"\n".join(EVENTS[2_000:]))
        service.wait_learnt(3_031)
        service.checkpoint()
        yield service
        assert service.stop() == 0


@pytest.fixture
def watched(browser: Browser, service: Weir) -> Iterator[Watched]:
    opened = Watched(browser, service)
    expect(opened.page.locator("#tiles")).to_contain_text(f"{service.status()['examples']:,}")
    yield opened
    opened.close()


def test_each_tile_shows_the_figure_of_the_status(watched: Watched, service: Weir) -> None:
    status = service.status()
    assert watched.text("h1") == "flights"
    expect(watched.page.locator("#state")).to_have_text("learning, up to date")
    assert f"binary · learner · {status['model']}" == watched.text("#what")
    figures = {
        "Events learnt": f"{status['examples']:,}",
        "Average loss": f"{status['average_loss']:.4g}",
        "Predictions since start": "40",
        "Labels since start": "30",
        "Backlog": "0",
        "Dead letters": "1",
        "Checkpoint": status["checkpoint"][7:15],
    }
    wait_for(lambda: {label: watched.tile(label).split("\n")[0] for label in figures}, figures.__eq__)


def test_the_funnel_counts_what_became_of_predictions(watched: Watched) -> None:
    found = dict(line.split("\t") if "\t" in line else line.rsplit("\n", 1) for line in watched.texts("#funnel li"))
    assert found == {
        "predicted": "40",
        "waiting for a label": "10",
        "labelled in time": "30",
        "label too late": "0",
        "expired without a label": "0",
        "second label": "1",
        "label of nothing known": "1",
    }
    assert re.search(r"p50 [\d.]+ (µs|ms|s)", watched.text("#delay"))


def test_the_confusion_and_the_guesses_are_those_of_the_report(watched: Watched, service: Weir) -> None:
    total = service.get("/progress").body["report"]["total"]
    cells = {(cell["actual"], cell["predicted"]): f"{cell['count']:,}" for cell in total["confusion"]}
    kinds = ("negative", "positive")
    expected = [[f"actual {actual}", *[cells[actual, predicted] for predicted in kinds]] for actual in kinds]
    wait_for(lambda: watched.rows("#confusion"), expected.__eq__)  # it is drawn anew every five seconds
    assert ["model", "log loss", f"{total['log_loss']:.4f}"] in [row[:3] for row in watched.rows("#baselines")]
    majority = total["baselines"]["majority"]["accuracy"]
    assert ["majority", "accuracy", f"{majority:.4f}"] in [row[:3] for row in watched.rows("#baselines")]


def test_the_value_is_that_of_the_service_by_cell_and_policy(watched: Watched, service: Weir) -> None:
    answer = service.get("/value").body
    watched.page.locator("#value-cells tbody tr").first.wait_for()
    dollars = [row[4].replace("$", "").replace(",", "") for row in watched.rows("#value-cells")]
    assert [float(one) for one in dollars] == [cell["value"] for cell in answer["total"]["cells"]]
    assert sum(map(float, dollars)) == answer["total"]["value"] == service.status()["value"]["total"]
    assert watched.tile("Value").startswith(f"${answer['total']['value']:,.0f}")
    assert ["always no", f"${answer['total']['always_no']:,.0f}"] in watched.rows("#value-policies")


def test_a_dead_letter_is_opened_and_shown_as_it_came(watched: Watched) -> None:
    letter = watched.page.locator("#dead details").first
    letter.locator("summary").click()
    assert "label" in letter.locator("summary").inner_text()
    assert letter.locator("pre").inner_text() == POISON.decode()


def test_charts_are_drawn_and_say_their_figures(watched: Watched) -> None:
    for chart in ("loss", "rates", "fresh", "latency", "scores", "calibration", "roc", "pr"):
        expect(watched.page.locator(f"#{chart} canvas")).to_be_visible()
        expect(watched.page.locator(f"#{chart}-says")).not_to_be_empty()
    painted = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert watched.page.locator("#loss canvas").evaluate(painted) > 10


def test_checkpoints_stand_on_the_time_axis_and_in_the_table(watched: Watched, service: Weir) -> None:
    listed = service.get("/checkpoints").body["checkpoints"]
    shown = [row[0].split(" ")[0] for row in watched.rows("#checkpoints")]
    assert shown == [one["id"][7:19] for one in listed]
    marks = watched.page.locator("#timeline button")
    wait_for(marks.count, lambda count: len(listed) < count <= 2 * len(listed))
    deployed = watched.page.locator("#timeline button.tag")
    assert "deploy flights.production" in str(deployed.first.get_attribute("aria-label"))
    deployed.first.click()
    expect(watched.page.locator("#checkpoint")).to_be_visible()


def test_two_checkpoints_are_compared(watched: Watched, service: Weir) -> None:
    newest, before = [one["id"] for one in service.get("/checkpoints").body["checkpoints"][:2]]
    watched.page.locator(f"#checkpoints button[data-id='{newest}']").first.click()
    watched.page.locator("#diff-with").select_option(before)
    watched.page.locator("#diff-form button").click()
    watched.page.locator("#diff table").wait_for()
    answer = service.get(f"/checkpoints/{before}/diff/{newest}").body
    shown = [row[:2] for row in watched.rows("#diff table")]
    assert shown == [[kind, one["what"]] for kind in ("settings", "data", "metrics", "weights") for one in answer[kind]]
    expect(watched.page.locator("#manifest")).to_contain_text('"exact_resume": true')


def test_an_event_is_tried_and_a_value_changed(watched: Watched, service: Weir) -> None:
    before = service.status()
    watched.page.locator("#try-last").click()
    watched.page.locator("#try-fields tbody tr").first.wait_for()
    event = json.loads(watched.page.locator("#try-event").input_value())
    said = service.post("/predict?explain=1&keep=0", event).body
    expect(watched.page.locator("#try-answer")).to_have_text(f"{said['prediction']:.4g} by {said['model']}")
    rows = {row[0]: float(row[3]) for row in watched.rows("#try-fields")}
    assert rows["f^carrier"] == pytest.approx(
        sum(one["contribution"] for one in said["fields"] if one["field"] == "f^carrier"), abs=1e-4
    )
    what_if = watched.page.get_by_label("f^carrier, another value")
    other = "C" if event["features"]["f"]["carrier"] in "AB" else "A"
    what_if.fill(other)
    what_if.press("Enter")
    event["features"]["f"]["carrier"] = other
    changed = service.post("/predict?explain=1&keep=0", event).body["prediction"]
    expect(watched.page.locator("#try-answer")).to_contain_text(f"{changed:.4g} by")
    expect(watched.page.locator("#try-answer")).to_contain_text(f"it was {said['prediction']:.4g}")
    after = service.status()
    assert (after["predictions"], after["examples"]) == (before["predictions"], before["examples"])


def test_what_cannot_be_read_is_said_where_it_was_typed(watched: Watched) -> None:
    watched.page.locator("#try-event").fill('{"features": {"n": [1]}}')
    watched.page.locator("#try button[type=submit]").click()
    expect(watched.page.locator("#try-answer")).to_contain_text("n: expected a list of text")
    expect(watched.page.locator("#try-fields")).not_to_be_visible()
    watched.page.locator("#try-event").fill(json.dumps({"features": EVENT}))
    watched.page.locator("#try button[type=submit]").click()
    for typed, said in (("8", "with what you changed"), ("[1]", "n: expected a list of text")):
        watched.page.get_by_label("n, another value", exact=True).fill(typed)
        watched.page.get_by_label("n, another value", exact=True).press("Enter")
        expect(watched.page.locator("#try-answer")).to_contain_text(said)
    assert {row[4] for row in watched.rows("#try-fields")} == {""}, "there is no answer to what was changed"
    watched.wrong.clear()  # Chromium itself notes every answer of 400


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_its_width_is_accessible_and_leaves_a_picture(
    width: int, theme: str, browser: Browser, service: Weir
) -> None:
    watched = Watched(browser, service, width, color_scheme=theme)
    page = watched.page
    watched.page.locator("#features li").first.wait_for()
    page.locator("#confusion tbody tr").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for details in page.locator("main details").all():
        details.evaluate("one => one.open = true")
    watched.check_accessible()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{theme}-{width}.png", full_page=True)
    watched.close()


def test_nothing_moves_while_figures_change(browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().checkpoint()
        watched = Watched(browser, service)
        watched.page.evaluate(
            "window.moved = 0; const add = list => list.getEntries().forEach(one => window.moved += one.value);"
            "new PerformanceObserver(add).observe({type: 'layout-shift'})"
        )
        for first in range(0, 3_000, 1_000):
            service.post("/events", b"\n".join(EVENTS[first : first + 1_000]))
            service.wait_learnt(first + 1_000)
            expect(watched.page.locator("#tiles")).to_contain_text(f"{first + 1_000:,}")
        # Marks wander with their time axis; what a person takes for a jump begins at 0.1 (web.dev/cls).
        assert watched.page.evaluate("window.moved") < 0.05
        watched.close()
        assert service.stop() == 0


def test_everything_is_reached_by_keyboard(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"theme", "take", "try-event", "try-last", "Open"} <= reached
    page.locator("#take").focus()
    page.locator("#checkpoints tbody tr").last.get_by_role("button").last.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#checkpoint")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#checkpoint")).not_to_be_visible()


def test_a_rollback_says_what_will_happen_asks_for_the_token_and_happens(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HTTP_TOKEN", TOKEN)
    service = Weir(tmp_path)
    put(service, EVENTS[:1_000])
    with closing(service):
        service.start().wait_learnt(1_000)
        good = checkpoint(service)
        assert trusted(service, "/events", b"\n".join(EVENTS[1_000:1_500])) == 202
        service.wait_learnt(1_500)
        newest = checkpoint(service)
        watched = Watched(browser, service)
        page = watched.page
        page.locator(f"#checkpoints button[data-id='{good}']").first.click()
        page.locator("#checkpoint-rollback").click()
        expect(page.locator("#rollback-what")).to_contain_text(f"that of checkpoint {good[7:19]}: 1,000 examples")
        expect(page.locator("#rollback-skip")).to_contain_text("500 records stay in the log")
        expect(page.locator("#rollback-replay")).to_contain_text("500 records from 0:1000 on")
        page.locator("#rollback-why").fill("too late")
        page.locator("#rollback-do").click()
        expect(page.locator("#token")).to_be_visible()
        assert service.status()["checkpoint"] == newest
        page.locator("#token-value").fill(TOKEN)
        page.locator("#token-form button[type=submit]").click()
        expect(page.locator("#rollback")).not_to_be_visible()
        expect(page.locator("#dead-says")).to_have_text("None.")
        head = wait_for(lambda: (now := service.status()["checkpoint"]) != newest and now)
        assert service.manifest(head).holes[0].last == 1_500
        assert service.blob("learner", head) == service.blob("learner", good)
        expect(page.locator("#checkpoints")).to_contain_text(f"rollback to {good[7:19]}: too late")
        told = page.get_by_role("status").filter(has_text="Rolled back")
        expect(told).to_have_text(
            f"Rolled back, from live@0:1500 (checkpoint {newest[7:19]}) to the model of checkpoint {good[7:19]}, 1,000 "
            f"examples. Left out of it: 0:1000 to 0:1499 (500 records). Recorded as checkpoint {head[7:19]}; rolling "
            f"back to {newest[7:19]} undoes it."
        )
        watched.check_accessible()
        page.locator("#done").screenshot(path=PICTURES / "done.png")
        page.locator(f"#checkpoints button[data-id='{newest}']").first.click()
        page.locator("#checkpoint-deploy").click()
        page.locator("#deploy-tag").fill("flights.production")
        page.locator("#deploy-why").fill("it was better")
        page.locator("#deploy-do").click()
        expect(page.locator("#deploy")).not_to_be_visible()
        wait_for(lambda: service.status()["tags"] == {"flights.production": newest})
        history = service.get("/tags/flights.production/history").body["history"][0]
        assert (history["who"], history["why"]) == ("the page", "it was better")
        told = page.get_by_role("status").filter(has_text="Deployed")
        expect(told).to_contain_text(f"Deployed under flights.production: {newest[7:19]}, the first one.")
        page.get_by_role("button", name="Dismiss").click()
        expect(told).to_have_count(0)
        watched.wrong = [said for said in watched.wrong if "401" not in said]  # Chromium notes that one itself
        watched.close()
        assert service.stop() == 0


def put(service: Weir, events: list[bytes]) -> None:
    """Into the log; from another thread, as Playwright has a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, append(service.log, events)).result()


def checkpoint(service: Weir) -> str:
    before = service.status()["checkpoint"]
    assert trusted(service, "/checkpoints", b"") == 201
    return str(wait_for(lambda: (now := service.status()["checkpoint"]) != before and now))


def trusted(service: Weir, path: str, body: bytes) -> int:
    request = Request(f"{service.url}{path}", body, {"Authorization": f"Bearer {TOKEN}"}, method="POST")
    with urlopen(request) as answer:
        return int(answer.status)
