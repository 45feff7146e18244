"""What a decision earns: money for each pair of what came true and what was predicted. Knows no stream."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from formats.example import FormatError
from formats.numbers import number, written
from stream_app.settings import ConfigError, Settings, ValueCell, ValueSettings

STEPS = 1_000
"""Thresholds lie on a grid: 0, 0.001, ..., 0.999."""

NEVER = STEPS
"""The step that stands for no threshold at all: nothing is decided to be positive."""

Counts = NDArray[np.int64]
"""Decisions by what came true and what was predicted: shape (2, 2), negative before positive. Never leaves the code."""

_STANDARD = {"negative": 0, "false": 0, "0": 0, "-1": 0, "positive": 1, "true": 1, "1": 1}
_SIDES = ("negative", "positive")


class Cell(NamedTuple):
    """One of the four, with the names of the configuration; `row` and `column` are its place in Counts."""

    actual: str
    predicted: str
    row: int
    column: int
    each: float


class Money(msgspec.Struct, frozen=True):
    """The four cells in the order of Counts, the currency, and the step of the grid at which positive begins."""

    currency: str
    step: int
    cells: tuple[Cell, ...]

    def of(self, counts: Counts) -> float:
        """What these decisions earned."""
        return float(sum(cell.each * int(counts[cell.row, cell.column]) for cell in self.cells))

    def gained_by_no(self, row: int) -> float:
        """How much more a negative decision earns than a positive one, where this came true."""
        no, yes = (cell for cell in self.cells if cell.row == row)
        return no.each - yes.each

    @property
    def key(self) -> list[float]:
        """What the choice of a threshold depends on: the money of each cell by its place, and the threshold."""
        return [*(cell.each for cell in self.cells), threshold_of(self.step)]


def threshold_of(step: int) -> float:
    """
    >>> threshold_of(500)
    0.5
    """
    return step / STEPS


def money_of(settings: Settings, origin: str = "settings") -> Money | None:
    """The money of `[value]`; None where it is not set. Raises ConfigError naming what is wrong."""
    value = settings.value
    if not value.is_set:
        if value != ValueSettings():
            raise ConfigError(f"{origin}: value.cells: required where something of [value] is set: name all four")
        return None
    if settings.model.task != "binary":
        raise ConfigError(
            f'{origin}: value: a task {settings.model.task!r} has no such cells: set model.task = "binary", or unset it'
        )
    if not value.currency.strip():
        raise ConfigError(f"{origin}: value.currency: it is empty; name one, as USD")
    step = round(value.threshold * STEPS) if 0.0 <= value.threshold < 1.0 else STEPS
    if step == STEPS or threshold_of(step) != value.threshold:
        raise ConfigError(f"{origin}: value.threshold: {value.threshold!r}: expected 0 to 0.999 in steps of 0.001")
    return Money(value.currency, step, _cells(value, sides_of(settings.schema.labels), origin))


def sides_of(labels: Mapping[str, float]) -> dict[str, int]:
    """Every name of a label, and its side: those of `[schema] labels`, and where they say nothing else the usual."""
    return {**_STANDARD, **{name: int(value > 0) for name, value in labels.items()}}


def by_side(value: ValueSettings, labels: Mapping[str, float]) -> ValueSettings:
    """The same with `positive` and `negative` for the names, for a model whose labels have other names."""
    if not value.is_set:
        return value
    cells = [
        ValueCell(actual=_SIDES[cell.row], predicted=_SIDES[cell.column], value=cell.each)
        for cell in _cells(value, sides_of(labels), "settings")
    ]
    return msgspec.structs.replace(value, cells=cells)


def _cells(value: ValueSettings, sides: Mapping[str, int], origin: str) -> tuple[Cell, ...]:
    found: dict[tuple[int, int], Cell] = {}
    for index, given in enumerate(value.cells):
        where = f"{origin}: value.cells[{index}]"
        names = _text(given.actual), _text(given.predicted)
        for field, name in zip(("actual", "predicted"), names, strict=True):
            if name not in sides:
                known = ", ".join(sorted(sides))
                raise ConfigError(f"{where}.{field}: {name!r} is no label; expected one of {known}")
        place = sides[names[0]], sides[names[1]]
        if place in found:
            raise ConfigError(f"{where}: actual {names[0]!r}, predicted {names[1]!r} is named a second time")
        try:
            found[place] = Cell(*names, *place, number(given.value, "value"))
        except FormatError as error:
            raise ConfigError(f"{where}.{error}") from error
    missing = [(row, column) for row in (0, 1) for column in (0, 1) if (row, column) not in found]
    if missing:
        said = "; ".join(f"actual {_SIDES[row]}, predicted {_SIDES[column]}" for row, column in missing)
        raise ConfigError(f"{origin}: value.cells: all four must be named; missing: {said}")
    return tuple(found[place] for place in sorted(found))


def _text(name: str | float | bool) -> str:
    if isinstance(name, bool):
        return str(name).lower()
    if isinstance(name, str):
        return name
    return written(name) if math.isfinite(name) else repr(name)
