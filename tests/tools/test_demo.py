"""`weir demo` shows a service as users have one: it predicts, labels, deploys, counts money, and loses nothing."""

import json
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from weir_process import WEIR, wait_for

EVENTS = 49_097


class Demo:
    """A demo that runs, in a folder."""

    def __init__(self, folder: Path, rate: int = 20_000) -> None:
        self._said = folder / "said"
        with self._said.open("wb") as said:
            command = [WEIR, "demo", "--port", "0", "--rate", str(rate)]
            self.process = subprocess.Popen(command, cwd=folder, stderr=said)

    def status(self) -> dict[str, Any]:
        """Once it serves."""
        served = wait_for(lambda: re.search(r"serving on (\S+),", self.said_so_far()))
        with urllib.request.urlopen(f"{served[1]}/status") as answer:
            return dict(json.loads(answer.read()))

    def said_so_far(self) -> str:
        said = self._said.read_text()
        assert self.process.poll() is None, said
        return said

    def wait(self, text: str) -> None:
        wait_for(lambda: text in self.said_so_far())


def test_killed_in_the_middle_it_goes_on_and_learns_each_event_once(tmp_path: Path) -> None:
    demo = Demo(tmp_path, rate=2_000)  # slow enough to be in the middle when it is killed
    wait_for(lambda: demo.status()["labels"] >= 50)
    demo.process.kill()
    demo.process.wait()
    demo = Demo(tmp_path)
    demo.wait("everything is learnt")
    status = demo.status()
    assert status["examples"] == EVENTS
    assert 0 < status["labels"] == status["predictions"]
    assert status["value"]["total"] > 0
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait() == 0
    demo = Demo(tmp_path)
    demo.wait("everything is learnt")
    status = wait_for(lambda: (now := demo.status())["tags"] and now)
    assert status["tags"] == {"shuttle.production": status["checkpoint"]}
    assert (status["examples"], status["predictions"]) == (EVENTS, 0)
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait() == 0
