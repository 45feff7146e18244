"""A real Chromium, headless, that looks at the page of a real service."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from weir_process import Weir

CHROMIUM = shutil.which("chromium")
PICTURES = Path(__file__).parents[2] / "build" / "page"
"""Where the tests leave screenshots for a person to look at."""

DEADLINE_MS = 120_000
"""For whatever is waited for: long enough for any machine, since no test says how fast the page is."""

expect.set_options(timeout=DEADLINE_MS)

_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips where there is none; in CI there must be one."""
    if CHROMIUM is None:
        assert "CI" not in os.environ, "chromium is missing: apt-get install chromium"
        pytest.skip("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        yield browser
        browser.close()


class Watched:
    """The page of a service in one tab, and all that went wrong in it."""

    def __init__(self, browser: Browser, service: Weir, width: int = 1280, **context: Any) -> None:
        self._context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self._context.set_default_timeout(DEADLINE_MS)
        self.page: Page = self._context.new_page()
        self.wrong: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"{request.url}: {request.failure}"))
        self.page.on("request", lambda request: self.asked.add(request.url.partition("://")[2].partition("/")[0]))
        self.page.goto(service.url)
        self._wait_for_figures()

    def reload(self) -> None:
        """The page begins anew, and shows its figures again. What it was asking for as it was left is no fault."""
        wrong = list(self.wrong)
        self.page.reload(wait_until="commit")
        self.wrong = wrong
        self._wait_for_figures()

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return self.page.locator(selector).first.inner_text()

    def texts(self, selector: str) -> list[str]:
        """What a person reads in each, at one moment."""
        found: list[str] = self.page.locator(selector).evaluate_all("all => all.map((one) => one.innerText)")
        return found

    def tile(self, label: str) -> str:
        """The figure under a label, at the top of the page."""
        return self.page.locator(f"#tiles div:has(dt:text-is('{label}')) dd").inner_text()

    def rows(self, table: str) -> list[list[str]]:
        """The cells of a table's body."""
        return [row.split("\t") for row in self.texts(f"{table} tbody tr")]

    def check_accessible(self) -> None:
        """Raises where axe finds anything. The shadows at the edges of boxes are taken away meanwhile, as axe does not
        look at the contrast of what stands on a gradient.
        """
        self.page.evaluate(
            "const plain = new CSSStyleSheet();"
            " plain.replaceSync('.scroll, pre { background: var(--under) !important }');"
            "document.adoptedStyleSheets = [plain]"
        )
        results = Axe().run(self.page)
        self.page.evaluate("document.adoptedStyleSheets = []")
        assert results.violations_count == 0, results.generate_report()

    def close(self) -> None:
        """Raises where anything went wrong in the tab until then, or anybody else was asked."""
        self.page.evaluate("1")  # what was noted until now is told before the answer
        wrong = list(self.wrong)
        self._context.close()
        assert wrong == []
        assert len(self.asked) == 1, self.asked

    def _wait_for_figures(self) -> None:
        # What is hidden while the page waits for its first figures has no text.
        self.page.locator("main:not(.waiting)").wait_for()
        self.page.locator("#checkpoints tbody tr").first.wait_for()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.text} {message.location}")
