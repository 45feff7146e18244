"""The names of features in what was learnt, so that weights can be told by name. Knows no learner and no hash of VW.

A dictionary of (namespace, name) as they stand in the VW text, in the order in which they first appeared. It is a
function of the examples learnt alone: neither micro-batches nor restarts nor what was predicted change a byte of it.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec
import numpy as np

from formats.example import Example, Lines, text_of
from stream_app.headed_lines import cut, lines_of, with_head

FIRST_OF_A_SERVICE = 16_384
FIRST_OF_A_BOUNDED_RUN = 262_144
"""Examples at the beginning of which every one is looked at, where nobody says how many."""

CACHED_TOKENS = 32_768
"""Tokens that are recognised at once. A cache and nothing else: emptying it changes no result."""

PENDING_DIGESTS = 4_096

_WHAT = "names: a dictionary of names"

_NOTHING = frozenset((b"",))


class Coverage(msgspec.Struct):
    """How much of the stream the dictionary has seen; the first line of its blob."""

    names: int = 0
    examples: int = 0
    looked_at: int = 0
    left_out: int = 0
    """How often a name came by that was not kept, because the dictionary was full."""


class Names:
    """Grows with the examples learnt, to at most `most` names (0: not at all). Written by the trainer alone.

    The `first` examples are all looked at, then one in `every`, counted from the beginning of the stream.
    """

    def __init__(self, most: int, every: int, first: int = FIRST_OF_A_SERVICE) -> None:
        self._most = most
        self._every = every
        self._first = first
        self._reset(Coverage())

    def see(self, examples: Sequence[Example]) -> None:
        """Note the names in these examples, which come after all that were seen before."""
        first, count = self.coverage.examples, len(examples)
        self.coverage.examples += count
        chosen = self._chosen(first, count) if self._most else []
        if not chosen:
            return
        self.coverage.looked_at += len(chosen)
        text = text_of(examples) if len(chosen) == count else _text_of_some(examples, chosen)
        # Up to the line feed: what stands after it begins the next line.
        found = [section.partition(b"\n")[0].partition(b" ") for section in text.replace(b"\t", b" ").split(b"|")[1:]]
        by_namespace: dict[bytes, list[bytes]] = {}
        for namespace, _, rest in found:
            by_namespace.setdefault(namespace, []).append(rest)
        new = {namespace: self._unmet(namespace, rests) for namespace, rests in by_namespace.items()}
        namespaces = [namespace for namespace, tokens in new.items() if tokens]
        has_room = self.coverage.names + max(map(len, new.values()), default=0) <= self._most
        if len(namespaces) == 1 and has_room:
            self._meet(namespaces[0], new[namespaces[0]])
        elif namespaces:  # several at once: in the order of the lines; and what is left out is counted by line
            for namespace, _, rest in found:
                self._meet(namespace, rest.split(b" "))

    def state(self) -> bytes:
        """One line of JSON that says how complete it is, then a line `NAMESPACE NAME` for each."""
        return with_head(self.coverage, self._lines)

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from; b"", as from a checkpoint without names, is the beginning.

        Raises ValueError for anything else.
        """
        coverage, lines = cut(state, Coverage, _WHAT)
        self._reset(coverage)
        self._lines += lines
        self._digests.add_all([_digest(line) for line in lines.split(b"\n")[:-1]])

    def _reset(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self._lines = bytearray()
        self._digests = _Digests()
        self._cached: dict[bytes, set[bytes]] = {}
        self._cached_tokens = 0

    def _chosen(self, first: int, count: int) -> Sequence[int]:
        """Which of `count` examples to look at, of which the first is the stream's number `first`."""
        at_first = min(max(self._first - first, 0), count)
        if at_first == count or self._every == 1:
            return range(count)
        sampled = range(at_first + -(first + at_first) % self._every, count, self._every)
        return [*range(at_first), *sampled] if at_first else sampled

    def _unmet(self, namespace: bytes, rests: list[bytes]) -> list[bytes]:
        """The tokens that are not remembered, each once, in the order in which they come first."""
        cached = self._cached.get(namespace, _NOTHING)
        tokens = dict.fromkeys(b" ".join(rests).split(b" "))
        return [] if cached.issuperset(tokens) else [token for token in tokens if token not in cached]

    def _meet(self, namespace: bytes, tokens: list[bytes]) -> None:
        if self._cached_tokens > CACHED_TOKENS:
            self._cached.clear()
            self._cached_tokens = 0
        cached = self._cached.setdefault(namespace, {b""})
        for token in tokens:
            if token not in cached:
                name = token.partition(b":")[0]
                if not name or self._is_kept(namespace + b" " + name):
                    cached.add(token)
                    self._cached_tokens += 1

    def _is_kept(self, line: bytes) -> bool:
        digest = _digest(line)
        if digest in self._digests:
            return True
        if self.coverage.names >= self._most:
            self.coverage.left_out += 1
            return False
        self._digests.add(digest)
        self._lines += line + b"\n"
        self.coverage.names += 1
        return True


def pairs(state: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Namespace and name, as in the text of VW (escaped), of all that a dictionary's blob holds, in its order."""
    for line in lines_of(state):
        namespace, _, name = line.partition(b" ")
        yield namespace, name


def coverage(state: bytes) -> Coverage:
    """How complete the dictionary of this blob is."""
    return cut(state, Coverage, _WHAT)[0]


class _Digests:
    """A set of 64-bit numbers in 8 bytes each: sorted ones, and the newest, which are merged in from time to time."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._pending: set[int] = set()

    def __contains__(self, digest: int) -> bool:
        if digest in self._pending:
            return True
        place = int(self._sorted.searchsorted(np.uint64(digest)))
        return place < len(self._sorted) and int(self._sorted[place]) == digest

    def add(self, digest: int) -> None:
        self._pending.add(digest)
        if len(self._pending) >= PENDING_DIGESTS:
            self.add_all(list(self._pending))
            self._pending.clear()

    def add_all(self, digests: Sequence[int]) -> None:
        self._sorted = np.sort(np.concatenate([self._sorted, np.array(digests, np.uint64)]))


def _text_of_some(examples: Sequence[Example], chosen: Sequence[int]) -> bytes:
    lines = examples.text.split(b"\n") if isinstance(examples, Lines) else [example.text for example in examples]
    return b"\n".join([lines[place] for place in chosen])


def _digest(line: bytes) -> int:
    return int.from_bytes(blake2b(line, digest_size=8).digest(), "little")
