"""The names of the features that VW makes of a line: affixes, n-grams and interactions as its arguments ask for.

Knows names only: what they hash to, VW itself says. Source: parse_example.cc, kskip_ngram_transformer.cc and
interactions.h of Vowpal Wabbit 9.11, whose order is followed to the letter, as names and hashes are matched by it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement, product

from formats.vw_text import sections

Name = tuple[bytes, bytes]
"""Namespace and feature."""

Feature = tuple[Name, ...]
"""What one feature is made of: one name, or for a gram those of all features in it."""

Term = tuple[int, ...]
"""Namespaces that interact, by the first byte of their names."""

DEFAULT, AFFIX, SPELLING, CONSTANT = ord(" "), 132, 133, 128
"""Namespaces as VW numbers them: the one without a name, and those of its own."""

_WILDCARD = ord(":")
_HEX = re.compile(rb"\\x([0-9a-fA-F]{2})")
_SPELLED = [(rb"[0-9]", b"0"), (rb"[a-z]", b"a"), (rb"[A-Z]", b"A"), (rb"[^0aA.]", b"#")]


def shown(feature: Feature) -> bytes:
    """The name as VW prints it.

    >>> shown(((b"f", b"a=1"),)), shown(((b"", b"a"),)), shown(((b"f", b"a"), (b"f", b"b")))
    (b'f^a=1', b'a', b'f^a^b')
    """
    namespace = feature[0][0]
    return b"^".join([*([namespace] if namespace else []), *(name for _, name in feature)])


class Tweaks:
    """VW's arguments as far as they decide about features; `arguments` as VW tells them (`get_arguments`)."""

    def __init__(self, arguments: str) -> None:
        self._values: defaultdict[str, list[bytes]] = defaultdict(list)
        option = ""
        for token in arguments.split():
            option = token if token.startswith("--") else option
            self._values[option] += [] if token.startswith("--") else [_decoded(token.encode())]
        self.is_permuted = "--permutations" in self._values
        self.is_in_order = not {"--sort_features", "--feature_limit"} & self._values.keys()
        self._leaves_duplicates = "--leave_duplicate_interactions" in self._values
        self._redefined = self._redefine()
        self._affixes = self._affix()
        self._spelt = {DEFAULT if text[:1] == b"_" else text[0] for text in self._values["--spelling"]}
        self._masks = {char: self._gram_masks(char) for char in range(256)} if self.has_grams else {}
        pairs = ("--quadratic", "--cubic", "--interactions")
        terms = [tuple(text) for name in pairs for text in self._values[name]]
        self._terms = _filtered(sorted(terms, key=_by_length), not self._leaves_duplicates)

    @property
    def has_grams(self) -> bool:
        """Whether features that stand side by side make further ones."""
        return bool(self._values["--ngram"])

    def names(self, line: bytes) -> dict[int, list[Name]]:
        """The names of a line's features, by namespace, in VW's order; the constant, grams and interactions apart."""
        groups: defaultdict[int, list[Name]] = defaultdict(list)
        for section in sections(line):
            namespace = section.namespace.encode(errors="surrogateescape")
            char = self._redefined[namespace[0]] if namespace else DEFAULT
            for text, value in section.features:
                if value != 0.0:
                    name = text.encode(errors="surrogateescape")
                    groups[char].append((namespace, name))
                    self._derive(groups, char, name)
        return dict(groups)

    def grams(self, char: int, names: Sequence[Name]) -> list[Feature]:
        """What VW appends to the features of a namespace that stand side by side."""
        grams: list[Feature] = []
        for mask in self._masks.get(char, ()):
            for first in range(len(names) - mask[-1]):
                grams.append(tuple([names[first + step] for step in mask]))
        return grams

    def terms(self, present: Iterable[int]) -> list[Term]:
        """Which of the namespaces `present` interact, wildcards replaced."""
        chars = sorted(char for char in present if 32 <= char <= 126)
        compiled: list[Term] = []
        for term in self._terms:
            compiled += self._expanded(term, chars) if _WILDCARD in term else [term]
        if compiled != self._terms:
            compiled = _filtered(sorted(compiled, key=_by_length), not self._leaves_duplicates)
        return [term for term in compiled if set(term) <= set(chars)]

    def _derive(self, groups: defaultdict[int, list[Name]], char: int, name: bytes) -> None:
        letter = b"" if char == DEFAULT else bytes([char])
        for sign, length in self._affixes.get(char, ()) if name else ():
            part = name[:length] if sign == b"+" else name[-length:]
            groups[AFFIX].append((b"affix", letter + sign + b"%d=" % length + part))
        if char in self._spelt:
            spelt = name
            for pattern, replacement in _SPELLED:
                spelt = re.sub(pattern, replacement, spelt)
            groups[SPELLING].append((b"spelling", (letter + b"_" if letter else b"") + spelt))

    def _redefine(self) -> bytearray:
        table = bytearray(range(256))
        for text in self._values["--redefine"]:
            target, _, sources = text.partition(b":=")
            new = target[0] if target else DEFAULT
            if b":" in sources:
                table = bytearray([new]) * 256
            for char in sources or b" ":
                table[char] = new
        return table

    def _affix(self) -> dict[int, list[tuple[bytes, int]]]:
        affixes: defaultdict[int, list[tuple[bytes, int]]] = defaultdict(list)
        for text in b",".join(self._values["--affix"]).split(b","):
            sign, rest = (text[:1], text[1:]) if text[:1] in (b"+", b"-") else (b"+", text)
            if rest:
                affixes[rest[1] if len(rest) > 1 else DEFAULT].insert(0, (sign, int(rest[:1])))
        return affixes

    def _gram_masks(self, char: int) -> list[list[int]]:
        length, skips = self._number("--ngram", char), self._number("--skips", char)
        return [mask for n in range(1, length) for mask in _masks(n, skips, [0], 0)]

    def _number(self, option: str, char: int) -> int:
        number = 0
        for text in self._values[option]:
            if text[:1].isdigit():
                number = int(text)
            elif text[0] == char:
                number = int(text[1:] or b"0")
        return number

    def _expanded(self, term: Term, chars: Sequence[int]) -> list[Term]:
        fixed = [(place, char) for place, char in enumerate(term) if char != _WILDCARD]
        count = len(term) - len(fixed)
        if self._leaves_duplicates:
            chosen = list(product(chars, repeat=count))
        elif count == 2:
            chosen = list(combinations_with_replacement(chars, 2))
        else:
            chosen = [one[::-1] for one in combinations_with_replacement(chars, count)]
        expanded = []
        for one in chosen:
            full = list(one)
            for place, char in fixed:
                full.insert(place, char)
            expanded.append(tuple(full))
        return expanded


def _filtered(terms: Sequence[Term], is_filtered: bool) -> list[Term]:
    """The first of those that hold the same namespaces; sorted where one stands twice among others."""
    kept: dict[Term, Term] = {}
    for place, term in enumerate(terms):
        ordered = tuple(sorted(term))
        is_mixed = 1 < len(set(term)) < len(term)
        key = ordered if is_filtered else (*ordered, -place)
        kept.setdefault(key, ordered if is_mixed else term)
    return list(kept.values())


def _by_length(term: Term) -> tuple[int, Term]:
    return len(term), term


def _masks(more: int, skips: int, mask: list[int], skipped: int) -> list[list[int]]:
    """Which neighbours make a gram: distances from its first feature, in VW's order."""
    if not more:
        return [mask]
    found = _masks(more - 1, skips, [*mask, mask[-1] + 1 + skipped], 0)
    return found + (_masks(more, skips - 1, mask, skipped + 1) if skips else [])


def _decoded(text: bytes) -> bytes:
    return _HEX.sub(lambda match: bytes([int(match[1], 16)]), text)
