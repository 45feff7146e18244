"""What a service does for others over Kafka: its predictions for labels that are joined elsewhere, and for readers."""

from collections.abc import Callable

from stream_app import join_topics, wiring
from stream_app.logged import Logged
from stream_app.past_prediction import record_of
from stream_app.prediction_log import PredictionLog
from stream_app.relay import Relay
from stream_app.settings import Settings
from stream_app.sources.source import Source


class Elsewhere:
    """The service's part of `[join]`, and of the join itself what a worker in the same process says of it.

    And the topic of `[predictions]`. Without them nothing of it is there: no topic is opened, no figure shown.
    """

    def __init__(self, settings: Settings, log: PredictionLog) -> None:
        self.labels: Source | None = None
        self._topics: list[Source] = []
        self._relay: Relay | None = None
        self._publisher: Relay | None = None
        self._joining: tuple[Callable[[], dict[str, int]], Callable[[], str | None]] | None = None
        if settings.join.predictions is not None and settings.join.labels is not None:
            predictions = join_topics.open_topic(settings, settings.join.predictions)
            self.labels = join_topics.open_topic(settings, settings.join.labels)
            self._topics += [predictions, self.labels]
            reader = log.reader("join", lambda logged: is_to_be_joined(log, logged))
            max_bytes = settings.events.max_bytes
            self._relay = Relay(reader, predictions, max_bytes, lambda logged: logged.payload, "to be joined")
        if settings.predictions.topic is not None:
            topic = wiring.build_prediction_topic(settings)
            self._topics.append(topic)
            has_features = settings.predictions.features
            self._publisher = Relay(
                log.reader("topic", lambda logged: True),
                topic,
                wiring.MOST_PREDICTION_BYTES,
                lambda logged: record_of(logged, has_features),
                "to predictions.topic",
            )

    def tell(self, figures: Callable[[], dict[str, int]], problem: Callable[[], str | None]) -> None:
        """A worker that joins in this process says how to ask for its figures and for what is wrong."""
        self._joining = (figures, problem)

    @property
    def joined(self) -> dict[str, int]:
        """Of the join, where it runs in this process; empty elsewhere."""
        return self._joining[0]() if self._joining is not None else {}

    def figures(self) -> dict[str, int]:
        """Of the relay, and of the join where it runs in this process."""
        figures = self._relay.figures() if self._relay is not None else {}
        return figures | self.joined

    def status(self) -> dict[str, object]:
        """For `/status`."""
        figures = self.figures()
        status: dict[str, object] = {"join": figures} if figures else {}
        if self._publisher is not None:
            status["predictions_topic"] = self._publisher.figures()
        return status

    def problems(self) -> list[str]:
        """Why labels may not be learnt, or predictions not read elsewhere, at present."""
        found = [relay.problem for relay in (self._relay, self._publisher) if relay is not None]
        found.append(self._joining[1]() if self._joining is not None else None)
        return [problem for problem in found if problem is not None]

    def start(self) -> None:
        """Begin to send predictions, within a running loop."""
        for relay in (self._relay, self._publisher):
            if relay is not None:
                relay.start()

    async def close(self) -> None:
        """Let go of the topics; what is not sent yet is sent by the next service on this folder."""
        for relay in (self._relay, self._publisher):
            if relay is not None:
                await relay.close()
        for topic in self._topics:
            await topic.close()


def is_to_be_joined(log: PredictionLog, logged: Logged) -> bool:
    """Whether a label is expected for it, elsewhere."""
    return logged.waits and log.is_current(logged)
