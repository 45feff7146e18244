"""One prediction as it stands in the log: the event, the answer, and the label once that is known."""

import msgspec

from stream_app.label_join import JsonLabel


class Answered(msgspec.Struct, frozen=True):
    """What was answered: the prediction, the model's id, the checkpoint that a live model goes back to, and the tag."""

    answer: object = None
    model: str | None = None
    since: str | None = None
    tag: str | None = None


class Logged(msgspec.Struct, array_like=True):
    """One prediction."""

    id: str
    payload: bytes
    seen_at: float
    number: int
    """Its place in the log, from 0."""
    answered: Answered
    label: JsonLabel | None = None
    labelled_at: float | None = None
    is_unnamed: bool = False
    """Whether the event had no id."""

    @property
    def is_labelled(self) -> bool:
        """Whether its label has come."""
        return self.labelled_at is not None

    @property
    def waits(self) -> bool:
        """Whether a label is expected: nobody has one for what had no id."""
        return not (self.is_labelled or self.is_unnamed)
