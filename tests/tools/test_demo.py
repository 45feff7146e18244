"""`weir demo` shows a service as users have one: it predicts, labels, deploys, counts money, and loses nothing."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from weir_process import WEIR, wait_for

EVENTS = 49_097


class Demo:
    """A demo that runs, in a folder."""

    def __init__(self, folder: Path, rate: int) -> None:
        self.said = folder / "said"
        with self.said.open("wb") as said:
            command = [WEIR, "demo", "--port", "0", "--rate", str(rate)]
            self.process = subprocess.Popen(command, cwd=folder, stderr=said)

    def status(self) -> dict[str, Any]:
        """Once it serves."""
        served = wait_for(lambda: re.search(r"serving on (\S+),", self.said_so_far()))
        with urllib.request.urlopen(f"{served[1]}/status") as answer:
            return dict(json.loads(answer.read()))

    def said_so_far(self) -> str:
        said = self.said.read_text()
        assert self.process.poll() is None, said
        return said

    def wait(self, text: str) -> None:
        wait_for(lambda: text in self.said_so_far())


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Begins one in the same folder; none is left at the end."""
    begun: list[Demo] = []

    def begin(rate: int = 20_000) -> Demo:
        begun.append(Demo(tmp_path, rate))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.kill()
        one.process.wait()


def test_killed_in_the_middle_it_goes_on_and_learns_each_event_once(demo: Callable[..., Demo]) -> None:
    shown = demo(rate=500)  # slow enough to be in the middle when it is killed
    wait_for(lambda: shown.status()["labels"] >= 10)
    shown.process.kill()
    shown.process.wait()
    shown = demo()
    shown.wait("everything is learnt")
    status = shown.status()
    assert status["examples"] == EVENTS
    assert 0 < status["labels"] == status["predictions"]
    assert status["value"]["total"] > 0
    shown.process.send_signal(signal.SIGTERM)
    assert shown.process.wait() == 0
    shown = demo()
    shown.wait("everything is learnt")
    status = wait_for(
        shown.status,
        lambda now: now["tags"] == {"shuttle.production": now["checkpoint"]},
        lambda now: (now["tags"], now["checkpoint"]),
    )
    assert (status["examples"], status["predictions"]) == (EVENTS, 0)
    shown.process.send_signal(signal.SIGTERM)
    assert shown.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_it_still_feeds_it_ends_in_order_and_goes_on_when_run_again(
    demo: Callable[..., Demo], number: signal.Signals
) -> None:
    shown = demo(rate=1_000_000)
    shown.wait("serving on")
    shown.process.send_signal(number)
    assert shown.process.wait() == 0
    said = shown.said.read_text()
    assert "weir:" not in said
    shown = demo(rate=1_000_000)
    shown.wait("everything is learnt")
    assert shown.status()["examples"] == EVENTS
