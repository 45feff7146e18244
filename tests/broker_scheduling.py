"""Which of the processes of `pytest -n` runs which test: those that need a Kafka broker share a few brokers."""

from functools import cached_property
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

BROKERS = 2
"""So many processes begin with the tests of Kafka; another starts a broker of its own when nothing else is left."""


class BrokerScheduling(LoadScopeScheduling):
    """Test by test to whichever process is free, but a file whose tests use the broker as a whole.

    Processes report only the names of tests (and `--dist loadgroup` adds its groups to names that pytest 9.2 does not
    read), so a file that needs the broker is told by its text.
    """

    config: pytest.Config

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in self._with_broker else nodeid

    def _assign_work_unit(self, node: WorkerController) -> None:
        has_broker = self.nodes.index(node) < BROKERS
        wanted = (scope for scope in self.workqueue if (scope in self._with_broker) == has_broker)
        if (first := next(wanted, None)) is not None:
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)

    @cached_property
    def _with_broker(self) -> set[str]:
        root = self.config.rootpath
        files = (root / "tests").glob("**/test_*.py")
        return {file.relative_to(root).as_posix() for file in files if needs_broker(file)}


def needs_broker(file: Path) -> bool:
    marks = ("from kafka_broker import", "kafka: str", "own_broker: Broker")
    text = file.read_text(encoding="utf-8")
    return any(mark in text for mark in marks)
