"""The Kafka broker of a run: one for all rows that ask for it, in a folder of the run's own. Knows no topics."""

from pathlib import Path
from typing import Self

from tools.kafka import Broker, KafkaError


class RunBroker:
    """Started when first asked for; as a context it is stopped at the exit, whatever has happened."""

    def __init__(self, folder: Path) -> None:
        self._broker = Broker(folder)
        self._is_started = False
        self._error: KafkaError | None = None

    @property
    def servers(self) -> str:
        """What clients connect to. Raises KafkaError, without trying again, where no broker can be had."""
        if self._error is not None:
            raise self._error
        if not self._is_started:
            try:
                self._broker.start()
            except KafkaError as error:
                self._error = error
                raise
            self._is_started = True
        return self._broker.servers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._broker.stop()
