"""What every format decodes to: one labelled (or not yet labelled) example. Knows no wire format and no learner."""

from collections.abc import Iterator, Sequence
from typing import Literal, overload

import msgspec

Value = str | int | float | bool | None | list[str]
"""Text is categorical, a number numeric, a boolean 0/1, a list of text a bag of tokens, None is missing."""

Features = dict[str, dict[str, Value]]
"""Namespace name -> its named features; the default namespace is named ''."""

LabelKind = Literal["number", "class", "bandit", "text"]
"""What a learner takes as a label: a real number, a class 1..k, a bandit triple, or VW label text of another kind."""


class FormatError(ValueError):
    """An event that cannot become an example. The message names the field, the value and what was expected."""


class Bandit(msgspec.Struct, frozen=True):
    """A contextual-bandit label: the action taken (1-based), what it cost, and how probable it was."""

    action: int
    cost: float
    probability: float


Label = float | str | Bandit | None


class Example(msgspec.Struct, gc=False):
    """One example. A plain value: whoever decoded it has checked that every number in it is finite.

    `label` is None while unlabelled, a number (for classes too), a `Bandit`, or the label text of other VW label kinds.
    `text` is the VW line (or group of lines), label included, which a VW learner reads: as it came where the event was
    VW text, else built from the features. `features` is what other learners read. A decoder fills in the one that its
    learner reads; the other stays empty.
    """

    label: Label = None
    weight: float = 1.0
    text: bytes = b""
    features: Features = {}
    actions: list[Features] | None = None
    id: str | None = None
    time_s: float | None = None


class Lines(Sequence[Example]):
    """Examples that are one line of VW text each, as columns: a list of examples that are made only when asked for.

    `text` is all lines, with line feeds between them; `labels` and `weights` have one entry per line; `ids` and `times`
    are None where no example has one.
    """

    __slots__ = ("ids", "labels", "text", "times", "weights")

    def __init__(
        self,
        text: bytes,
        labels: Sequence[Label],
        weights: Sequence[float],
        ids: Sequence[str | None] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> None:
        self.text = text
        self.labels = labels
        self.weights = weights
        self.ids = ids
        self.times = times

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice) and index.indices(len(self)) == (0, len(self), 1):
            return self
        if isinstance(index, int):
            return list(self)[index]
        lines = self.text.split(b"\n")[index]
        if not lines:
            return []
        ids = self.ids[index] if self.ids else None
        times = self.times[index] if self.times else None
        return Lines(b"\n".join(lines), self.labels[index], self.weights[index], ids, times)

    def __iter__(self) -> Iterator[Example]:
        none = [None] * len(self)
        lines = self.text.split(b"\n")
        columns = zip(self.labels, self.weights, lines, self.ids or none, self.times or none, strict=True)
        return (Example(label, weight, line, {}, None, id_, time_s) for label, weight, line, id_, time_s in columns)


def text_of(examples: Sequence[Example]) -> bytes:
    """The text of all examples, one after the other, with line feeds between them."""
    return examples.text if isinstance(examples, Lines) else b"\n".join([example.text for example in examples])


def labels_of(examples: Sequence[Example]) -> Sequence[Label]:
    """The label of each example."""
    return examples.labels if isinstance(examples, Lines) else [example.label for example in examples]


def weights_of(examples: Sequence[Example]) -> Sequence[float]:
    """The weight of each example."""
    return examples.weights if isinstance(examples, Lines) else [example.weight for example in examples]


def ids_of(examples: Sequence[Example]) -> Sequence[str | None]:
    """The id of each example; empty where none has one and that is known beforehand."""
    return examples.ids or () if isinstance(examples, Lines) else [example.id for example in examples]


def times_of(examples: Sequence[Example]) -> Sequence[float | None]:
    """The time of each example; empty where none has one and that is known beforehand."""
    return examples.times or () if isinstance(examples, Lines) else [example.time_s for example in examples]


class Dead(msgspec.Struct, frozen=True):
    """A payload that could not be decoded: its index in the batch, and why."""

    index: int
    reason: str


class Decoded(msgspec.Struct):
    """A micro-batch after decoding: the examples in order, and the payloads that gave none.

    Every other payload gave one example, but for envelopes: `sizes` says of each of those how many it gave.
    """

    examples: Sequence[Example]
    dead: list[Dead]
    sizes: dict[int, int] = {}

    def payload_of_each(self, payloads: int) -> list[int]:
        """For each example the index of its payload, of so many.

        >>> Decoded([Example(), Example(), Example()], [Dead(1, "empty")], {2: 2}).payload_of_each(3)
        [0, 2, 2]
        """
        without = {one.index for one in self.dead}
        indices = (index for index in range(payloads) if index not in without)
        return [index for index in indices for _ in range(self.sizes.get(index, 1))]

    def without_first(self, n: int) -> "Decoded":
        """What the payloads after the first `n` gave."""
        if not n:
            return self
        skipped = sum(index < n for index in self.payload_of_each(n))
        dead = [Dead(one.index - n, one.reason) for one in self.dead if one.index >= n]
        sizes = {index - n: size for index, size in self.sizes.items() if index >= n}
        return Decoded(self.examples[skipped:], dead, sizes)
