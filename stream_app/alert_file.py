"""Which alerts fire, in a file: who was told of one is told after a restart whether it still does."""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from checkpoints.durable import read_bounded, replace
from stream_app.alerts import Alert

log = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20


class AlertFile:
    """Read once, before it is written. One writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_failing = False

    def read(self) -> dict[str, Alert]:
        """Those that fired when it was written, by rule; none where there is no such file, or it cannot be read."""
        try:
            return msgspec.json.decode(read_bounded(self._path, _MOST_BYTES), type=dict[str, Alert])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("which alerts fired before is not known: %s: %s", self._path, error)
            return {}

    def write(self, firing: Mapping[str, Alert]) -> bool:
        """These fire; survives kill -9. Whether that could be written; where it could not, the log says why."""
        try:
            replace(self._path, msgspec.json.encode(firing))
        except OSError as error:
            if not self._is_failing:
                log.error("which alerts fire cannot be written to %s: %s", self._path, error)
            self._is_failing = True
            return False
        self._is_failing = False
        return True
