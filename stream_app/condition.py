"""Conditions as people write them: `log_loss < 0.6 and learner = 'vw'`. Knows names and values only."""

import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from stream_app.settings import ConfigError

Value = float | str | bool | None
Names = Mapping[str, Value]
Term = Callable[[Names], Value]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<name>[A-Za-z_][\w.]*)|(?P<op><=|>=|!=|==|[=<>+()-]))"
)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition:
    """Comparisons (= != < <= > >=) of names, numbers and 'texts', with + and -, joined by and, or, not, parentheses.

    What is compared with a figure that is undefined does not hold. Raises ConfigError, naming what was not understood.

    >>> Condition("log_loss < 0.6 and not learner = 'river'").holds({"log_loss": 0.5, "learner": "vw"})
    True
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        """Every name in it."""
        self._tokens = _tokens(text)
        self._next = 0
        self._term = self._or()
        if self._next < len(self._tokens):
            raise self._error()

    def holds(self, names: Names) -> bool:
        """Whether it is true of these values. Raises ConfigError for a name that is not among them."""
        value = self._term(names)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.text!r}: it gives {value!r}, expected a comparison such as log_loss < 0.6")
        return value

    def check(self, known: Collection[str]) -> None:
        """Raises ConfigError for a name in it that is not among the known ones, before it is asked of anything."""
        for name in sorted(self.names - set(known)):
            raise _unknown(name, known)

    def _or(self) -> Term:
        left = self._and()
        while self._is("or"):
            left = _joined(left, self._and(), any)
        return left

    def _and(self) -> Term:
        left = self._not()
        while self._is("and"):
            left = _joined(left, self._not(), all)
        return left

    def _not(self) -> Term:
        if self._is("not"):
            inner = self._not()
            return lambda names: not inner(names)
        return self._comparison()

    def _comparison(self) -> Term:
        left = self._sum()
        found = self._tokens[self._next] if self._next < len(self._tokens) else ""
        if found not in COMPARE:
            return left
        self._next += 1
        right, compare = self._sum(), COMPARE[found]
        return lambda names: _compared(compare, left(names), right(names))

    def _sum(self) -> Term:
        left = self._primary()
        while (sign := self._tokens[self._next : self._next + 1]) in (["+"], ["-"]):
            self._next += 1
            left = _added(left, self._primary(), 1.0 if sign == ["+"] else -1.0)
        return left

    def _primary(self) -> Term:
        if self._is("("):
            inner = self._or()
            if not self._is(")"):
                raise self._error()
            return inner
        if self._is("-"):
            return _added(lambda names: 0.0, self._primary(), -1.0)
        token = self._tokens[self._next] if self._next < len(self._tokens) else ""
        self._next += 1
        if token[:1] in ("'", '"'):
            return lambda names: token[1:-1]
        if token[:1].isdigit() or token[:1] == ".":
            return lambda names: float(token)
        if not re.match(r"[A-Za-z_]", token) or token in ("and", "or", "not"):
            self._next -= 1
            raise self._error()
        self.names.add(token)
        return lambda names: _looked_up(names, token)

    def _is(self, token: str) -> bool:
        if self._tokens[self._next : self._next + 1] != [token]:
            return False
        self._next += 1
        return True

    def _error(self) -> ConfigError:
        rest = " ".join(self._tokens[self._next :]) or "the end"
        return ConfigError(
            f"{self.text!r}: not understood at {rest!r}; write such as log_loss < 0.6 and learner = 'vw'"
        )


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ConfigError(f"{text!r}: not understood at {text[place:].strip()!r}")
        found.append(match[0].strip())
        place = match.end()
    return found


def _joined(left: Term, right: Term, join: Callable[[list[bool]], bool]) -> Term:
    return lambda names: join([bool(left(names)), bool(right(names))])


def _added(left: Term, right: Term, sign: float) -> Term:
    def added(names: Names) -> Value:
        one, other = left(names), right(names)
        if isinstance(one, int | float) and isinstance(other, int | float):
            return one + sign * other
        return None

    return added


def _compared(compare: Callable[[Any, Any], bool], left: Value, right: Value) -> bool:
    if left is None or right is None:
        return False
    try:
        return compare(left, right)
    except TypeError:
        return False


def _looked_up(names: Names, name: str) -> Value:
    if name not in names:
        raise _unknown(name, names)
    return names[name]


def _unknown(name: str, known: Collection[str]) -> ConfigError:
    return ConfigError(f"{name!r} is no name here; there are: {', '.join(sorted(known))}")
