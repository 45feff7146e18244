"""A client that asks a service the same again and again, while a test changes what answers."""

import json
import threading
import time
from http.client import HTTPException
from typing import Any

from weir_process import Weir


class Asker(threading.Thread):
    """Asks until it is enough, each time on a connection of its own: at once again, or so many times a second."""

    def __init__(self, service: Weir, path: str, body: object, rate: float | None = None) -> None:
        super().__init__(daemon=True)
        self._service, self._path, self._body, self._rate = service, path, body, rate
        self.is_enough = threading.Event()
        self.failed: list[object] = []
        self.answers: list[Any] = []

    def run(self) -> None:
        due = time.monotonic()
        while not self.is_enough.is_set():
            if self._rate is not None:
                time.sleep(max(0.0, (due := due + 1 / self._rate) - time.monotonic()))
            try:
                answer = self._service.post(self._path, self._body)
            except (OSError, HTTPException, json.JSONDecodeError) as error:
                self._fail(error)
                continue
            if answer.status == 200:
                self.answers.append(answer.body)
            else:
                self._fail(answer)

    def _fail(self, what: object) -> None:
        """Keep it, unless there are plenty: who asks at once again fills the memory where nobody answers."""
        if len(self.failed) < 1_000:
            self.failed.append(what)
