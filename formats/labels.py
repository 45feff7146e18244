"""Labels: which are valid for a learner, and how they are written in VW text. Knows nothing of features."""

import math

import msgspec

from formats.example import Bandit, FormatError, Label, LabelKind
from formats.numbers import number, number_text, shown, vw_number, weight, written

_KNOWN = 4_096

_KEYWORDS = ("ca", "ccb", "slates")
"""Words that open a label in which the first number need not be a class."""

_OPENING = (*_KEYWORDS, "shared")

_EXPECTED: dict[LabelKind, str] = {
    "number": "a number",
    "class": "a whole number",
    "bandit": 'an object {"action", "cost", "probability"}',
    "text": "VW label text",
}


class Labels:
    """Checks and writes the labels of one learner: its kind, its number of classes, and the user's names for values.

    `names` maps what events say (`YES`, `NO`) to what the learner takes (1, -1). With names, nothing else is accepted.
    """

    def __init__(self, kind: LabelKind = "number", classes: int = 0, names: dict[str, float] | None = None) -> None:
        self.kind = kind
        self.classes = classes
        self.names = {name: number(value, f"schema.labels.{name}") for name, value in (names or {}).items()}
        self.hint = ""
        """What to do about a value that `names` does not have; a part of the message."""
        self._known: dict[object, tuple[Label, bytes]] = {}

    @classmethod
    def binary(cls, is_signed: bool) -> "Labels":
        """Labels of a binary task without names: true or 1, and false, 0 or -1, written as the learner takes them."""
        negative = -1.0 if is_signed else 0.0
        labels = cls("number", 0, {"1": 1.0, "0": negative, "-1": negative, "true": 1.0, "false": negative})
        labels.hint = '; name others in schema.labels; for numbers of any size set model.task = "regression"'
        return labels

    def value(self, raw: object, field: str = "label") -> Label:
        """The label of an event, checked. Raises FormatError naming the field, the value and what was expected."""
        if raw is None:
            return None
        if self.names:
            return self._named(raw, field)
        match self.kind:
            case "number":
                return number(raw, field)
            case "class":
                return self._class(number(raw, field), field)
            case "bandit":
                return _bandit(raw, field)
            case "text":
                return _label_text(raw, field)

    def known(self, raw: object) -> tuple[Label, bytes]:
        """`value(raw)`, and how it is written without a weight; remembered, as labels repeat."""
        try:
            return self._known[raw]
        except KeyError:
            value = self.value(raw)
        except TypeError:  # an object cannot be looked up
            value = self.value(raw)
            return value, self.written(value, 1.0).encode()
        if len(self._known) >= _KNOWN:
            self._known.clear()
        found = self._known[raw] = value, self.written(value, 1.0).encode()
        return found

    def text_value(self, raw: str, field: str = "label") -> Label:
        """The same for a label that arrives as text (a CSV cell)."""
        if self.names:
            return self._named(raw, field)
        if self.kind in ("number", "class"):
            return self.value(number_text(raw, field), field)
        raise FormatError(f"{field}: expected {_EXPECTED[self.kind]}, which text cannot carry; got {shown(raw)}")

    def parse(self, tokens: list[str]) -> tuple[Label, float]:
        """Label and weight from the tokens before the first `|` of a VW line, the tag taken off."""
        if not tokens:
            return None, 1.0
        if self.kind == "number":
            return _simple(tokens)
        if self.kind == "class":
            return self._multiclass(tokens)
        text = _label_text(" ".join(tokens), "label")
        if self.kind == "bandit":
            _check_bandit_text(tokens)
        return text, float(tokens[1]) if self.kind == "text" and _is_named(tokens) else 1.0

    def written(self, label: Label, importance: float) -> str:
        """The label as VW text, ready to stand before the first `|`."""
        match label:
            case None:
                text = ""
            case Bandit():
                text = f"{label.action}:{written(label.cost)}:{written(label.probability)} "
            case str():
                text = f"{label} "
            case _:
                text = f"{written(label)} "
        return text if importance == 1.0 or not text else f"{text}{written(importance)} "

    def _named(self, raw: object, field: str) -> float:
        name = written(number(raw, field)) if isinstance(raw, int | float) else str(raw)
        try:
            return self.names[name]
        except KeyError:
            known = ", ".join(sorted(self.names))
            raise FormatError(f"{field}: {shown(raw)} is not one of the labels ({known}){self.hint}") from None

    def _class(self, value: float, field: str) -> float:
        if value != math.floor(value) or value < 0 or (self.classes and value > self.classes):
            highest = self.classes or "k"
            raise FormatError(f"{field}: {written(value)} is not a class; expected a whole number from 1 to {highest}")
        return value

    def _multiclass(self, tokens: list[str]) -> tuple[Label, float]:
        if len(tokens) > 2:
            raise FormatError(f"label: expected a class and a weight, got {' '.join(tokens)!r}")
        if not tokens[0].isascii() or not tokens[0].removeprefix("+").isdigit():
            raise FormatError(f"label: expected a class in digits alone, as VW reads it, got {shown(tokens[0])}")
        value = self._class(vw_number(tokens[0], "label"), "label")
        return value, weight(vw_number(tokens[1], "weight")) if len(tokens) == 2 else 1.0


def _simple(tokens: list[str]) -> tuple[Label, float]:
    if len(tokens) > 3:
        raise FormatError(f"label: expected at most a label, a weight and an initial value, got {' '.join(tokens)!r}")
    values = [vw_number(token, name) for token, name in zip(tokens, ("label", "weight", "initial"), strict=False)]
    return values[0], weight(values[1]) if len(values) > 1 else 1.0


def _bandit(raw: object, field: str) -> Bandit:
    try:
        label = msgspec.convert(raw, Bandit)
    except msgspec.ValidationError as error:
        raise FormatError(f"{field}: expected {_EXPECTED['bandit']}: {error}") from error
    number(label.cost, f"{field}.cost")
    if label.action < 1:
        raise FormatError(f"{field}.action: {label.action} is not an action; the first one is 1")
    if not 0.0 < label.probability <= 1.0:
        raise FormatError(f"{field}.probability: {label.probability!r} is not within (0, 1]")
    return label


def _check_bandit_text(tokens: list[str]) -> None:
    for token in tokens:
        action, *numbers = token.split(":")
        if token != "shared" and (not action.isascii() or not action.isdigit() or len(numbers) > 2):
            raise FormatError(f"label: expected action:cost:probability, got {token!r}")
        if len(numbers) == 2 and not 0.0 < vw_number(numbers[1], "label.probability") <= 1.0:
            raise FormatError(f"label.probability: {numbers[1]} in {token!r} is not within (0, 1]")


def _label_text(raw: object, field: str) -> str:
    """Label text of the other kinds: words, and numbers between colons, commas and blanks, every number finite."""
    if not isinstance(raw, str):
        raise FormatError(f"{field}: expected VW label text, got {shown(raw)}")
    if not set(raw).isdisjoint("|\n\r\t"):
        raise FormatError(f"{field}: label text must not contain '|', a tab or a line end: {shown(raw)}")
    words = raw.split(" ")
    if not any(words) or words[0].startswith("'"):
        raise FormatError(f"{field}: expected VW label text, got {shown(raw)}")
    if _is_named(words):
        weight(vw_number(list(filter(None, words))[-1], f"{field}: weight"))
        return raw
    is_keyed = words[0] in _KEYWORDS
    for word in filter(None, words):
        for part in word.split(","):
            _check_part(part, is_keyed, f"{field} {shown(raw)}")
    return raw


def _is_named(words: list[str]) -> bool:
    """Whether this is a class by its name (`--named_labels`) and a weight."""
    name, *rest = filter(None, words)
    is_name = set(name).isdisjoint(":,") and not _is_number(name) and name not in _OPENING
    return is_name and len(rest) == 1 and _is_number(rest[0])


def _check_part(part: str, is_keyed: bool, field: str) -> None:
    """One `class`, `class:cost` or `action:cost:probability`. VW ends the process for a class below 0."""
    first, *rest = part.split(":")
    if _is_number(first):
        value = vw_number(first, field)
        if not is_keyed and (value < 0 or value != math.floor(value)):
            raise FormatError(f"{field}: {first} is not a class; expected a whole number, 0 or more")
    for text in rest:
        vw_number(text, field)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
