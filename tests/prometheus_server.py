"""A real Prometheus on this machine, which scrapes a service and looks at the shipped rules."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from weir_process import wait_for

LISTENING = re.compile(r"Listening on.* address=127\.0\.0\.1:(\d+)\s")


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, path: str, **query: str) -> dict[str, Any] | None:
        """`data` of the answer; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self._url}{path}?{urllib.parse.urlencode(query)}") as answer:
                return dict(json.loads(answer.read())["data"])
        except OSError:
            return None


@contextmanager
def prometheus(folder: Path, target: str, rules: Path) -> Iterator[Prometheus]:
    """Scrapes `target` and works out `rules` every second. The test is skipped without the program."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not on this machine: install the package prometheus")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{rules}]\n"
        f"scrape_configs: [{{job_name: weir, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    options = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
               "--web.listen-address=127.0.0.1:0"]  # fmt: skip
    said = folder / "prometheus.log"
    with said.open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log)
        try:
            yield Prometheus(int(wait_for(lambda: _listening(said, process))[1]))
        finally:
            process.terminate()
            process.wait()


def _listening(said: Path, process: "subprocess.Popen[bytes]") -> re.Match[str] | None:
    assert process.poll() is None, f"prometheus has ended: {said.read_text()}"
    return LISTENING.search(said.read_text())
