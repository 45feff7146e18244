"""Charts over time, in a real Chromium: how far back they go, what a restart leaves of them, and zooming in."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from browser import Watched, chromium
from playwright.sync_api import Browser, Locator, expect
from weir_process import Weir, closing, synthetic, wait_for

DAY_S = 86_400


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    """It was away for days, and has taken two checkpoints some seconds apart since."""
    service = Weir(tmp_path_factory.mktemp("page"), checkpoints={"every_s": 1_000})
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(500)))
        service.wait_learnt(500)
        service.stop()
        figures = service.state / "figures.jsonl"
        then = [json.dumps([number, time.time() - 3 * DAY_S + number, 0.5]) for number in range(5)]
        figures.write_text("\n".join(['{"columns": ["loss"]}', *then, ""]))
        service.start()
        began = wait_for(lambda: service.get("/watch").body["rows"][-1][0])
        for moment in (began + 2, began + 7):
            wait_for(lambda moment=moment: service.get("/watch").body["rows"][-1][0] > moment)
            service.post("/events", synthetic(1, first=int(moment))[0])
            service.checkpoint()
        yield service
        assert service.stop() == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def marks(watched: Watched) -> list[float]:
    """Where checkpoints are marked on the time axis of the loss, in pixels."""
    found: list[float] = pins(watched).evaluate_all("all => all.map((mark) => parseFloat(mark.style.left))")
    return found


def pins(watched: Watched) -> Locator:
    return watched.page.locator("#timeline button")


def test_charts_go_back_as_far_as_they_are_told_to(browser: Browser, service: Weir) -> None:
    watched = Watched(browser, service)
    show = watched.page.get_by_label("Charts show")
    expect(show).to_have_value("")
    expect(pins(watched)).to_have_count(3)
    at = marks(watched)
    assert at[-1] - at[0] <= 2, "seconds of three days"
    show.select_option("5 minutes")
    expect(pins(watched)).to_have_count(3)
    wait_for(lambda: (now := marks(watched))[-1] - now[-2] > 5)
    watched.reload()
    expect(show).to_have_value("300")
    expect(pins(watched)).to_have_count(3)
    wait_for(lambda: (now := marks(watched))[-1] - now[-2] > 5)
    watched.close()


def test_a_chart_says_what_its_lines_say_under_the_pointer(browser: Browser, service: Weir) -> None:
    watched = Watched(browser, service)
    watched.page.get_by_label("Charts show").select_option("5 minutes")
    readout, lines = watched.page.locator("#loss .readout"), watched.page.locator("#loss .u-over")
    expect(readout).to_have_count(0)
    box = lines.bounding_box()
    assert box is not None
    lines.hover(position={"x": box["width"] - 4, "y": 40})
    expect(readout).to_contain_text(re.compile(r"\d\d:\d\d.*total 0\.\d+"))
    watched.page.locator("#name").hover()
    expect(readout).not_to_be_visible()
    watched.close()


def test_who_zooms_in_stays_there_while_figures_come_and_comes_back_by_a_double_click(
    browser: Browser, service: Weir
) -> None:
    watched = Watched(browser, service)
    watched.page.get_by_label("Charts show").select_option("5 minutes")
    box = watched.page.locator("#loss .u-over").bounding_box()
    assert box is not None
    watched.page.mouse.move(box["x"] + 5, box["y"] + 20)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + box["width"] / 10, box["y"] + 30, steps=5)
    watched.page.mouse.up()
    expect(pins(watched)).to_have_count(0)
    seen = service.get("/watch").body["rows"][-1][0]
    wait_for(lambda: service.get("/watch").body["rows"][-1][0] > seen + 3)
    expect(pins(watched)).to_have_count(0)
    whole = watched.page.locator("#loss").get_by_role("button", name="Zoomed: show all")
    whole.click()
    expect(pins(watched)).not_to_have_count(0)
    expect(whole).not_to_be_visible()
    watched.page.mouse.move(box["x"] + 5, box["y"] + 20)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + box["width"] / 10, box["y"] + 30, steps=5)
    watched.page.mouse.up()
    expect(whole).to_be_visible()
    expect(pins(watched)).to_have_count(0)
    watched.page.mouse.dblclick(box["x"] + 50, box["y"] + 20)
    expect(pins(watched)).not_to_have_count(0)
    watched.close()
