"""`--binary`: the two labels that a file has become -1 and 1, whatever the order of its rows."""

from collections.abc import Iterator

from formats.numbers import written
from tools.csv2vw_parts.cells import is_missing, usable
from tools.csv2vw_parts.errors import BadRow, ConversionStopped
from tools.csv2vw_parts.label_map import LabelMap

WORDS = {"0": -1, "-1": -1, "no": -1, "n": -1, "false": -1, "f": -1, "1": 1, "yes": 1, "y": 1, "true": 1, "t": 1}
"""What a label means that stays alone."""


class BinaryLabels:
    """The smaller of two labels is -1, the larger 1: numbers by size and before texts, texts by their characters.

    `settle` must have been given all labels up to the second one before any `number` is asked for.
    """

    def __init__(self, known: LabelMap, missing_values: frozenset[str]) -> None:
        self._missing_values = missing_values
        self._known = known.numbers
        self._keys: dict[str, None] = dict.fromkeys(known.numbers)

    @property
    def is_settled(self) -> bool:
        """Whether both labels are known."""
        return len(self._known) == 2

    def settle(self, cells: Iterator[str]) -> None:
        """Look for labels that are not known yet; the first two there are settle it."""
        for cell in cells:
            if self.is_settled:
                return
            if is_missing(cell, self._missing_values):
                continue
            self._keys[_key(cell)] = None
            if len(self._keys) == 2:
                self._take(sorted(self._keys, key=_order))

    def end(self) -> None:
        """All labels have been seen. Raises ConversionStopped (1) where one alone is left that could be either."""
        for key in self._keys:
            if key in self._known:
                continue
            if key.lower() not in WORDS:
                advice = f"say which it is: --labels {key}=1"
                raise ConversionStopped(f"csv2vw: --binary: {key!r} is the only label there is; {advice}", 1)
            self._known[key] = WORDS[key.lower()]

    def number(self, cell: str) -> float:
        try:
            return self._known[_key(cell)]
        except KeyError:
            raise BadRow(f"label {cell!r} is a third one beside {' and '.join(map(repr, self._known))}") from None

    def _take(self, ordered: list[str]) -> None:
        given = next((key for key in ordered if key in self._known), None)
        if given is None:
            self._known.update(zip(ordered, (-1, 1), strict=True))
        else:
            self._known[ordered[ordered[0] == given]] = -self._known[given]


def _key(cell: str) -> str:
    """`1` and `1.0` are one label."""
    value = usable(cell)
    return cell if value is None else written(value)


def _order(key: str) -> tuple[bool, float, str]:
    value = usable(key)
    return value is None, value or 0.0, key
