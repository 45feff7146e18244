"""Somebody else's HTTP server that webhooks are posted to: keeps what it gets, answers as it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/hook/a-secret-of-the-tests"


class Receiver:
    """Listens on a free port of this machine; a context manager. The first `refuses` messages are answered by 500."""

    def __init__(self, refuses: int = 0, location: str | None = None) -> None:
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked += 1
                is_refused = receiver.asked <= refuses
                if not is_refused and self.path == PATH:
                    receiver.got.append(json.loads(body))
                self.send_response(302 if location else 500 if is_refused else 200)
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, rule: str) -> list[str]:
        """What was heard of a rule, in order."""
        return [message["status"] for message in self.got if message["rule"] == rule]
