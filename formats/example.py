"""What every format decodes to: one labelled (or not yet labelled) example. Knows no wire format and no learner."""

from typing import Literal

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


class Dead(msgspec.Struct, frozen=True):
    """A payload that could not be decoded: its index in the batch, and why."""

    index: int
    reason: str


class Decoded(msgspec.Struct):
    """A micro-batch after decoding: the examples in order, and the payloads that gave none."""

    examples: list[Example]
    dead: list[Dead]
