"""A sample of what was learnt, by which importance is measured. Knows no learner and no format of events.

The last MOST of every EVERY-th example, counted from the beginning of the stream. A function of the examples learnt
alone: neither micro-batches nor restarts nor what was predicted change a byte of it.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from formats.example import Example, Lines
from formats.vw_text import Reads
from stream_app.headed_lines import cut, lines_of, with_head

MOST = 512
EVERY = 16

LONGEST_BYTES = 16 << 10
"""Of one example; longer ones are left out, so that checkpoints stay small."""

HELD_BYTES = 4 << 20
"""Text that is held until somebody looks at the sample, at most. When it is taken apart changes no result."""


class Taken(msgspec.Struct):
    """How the sample was drawn; the first line of its blob."""

    examples: int = 0
    too_long: int = 0
    """Of those looked at, how many were left out for their length."""


class Sample:
    """Follows the examples learnt, keeping the newest `most` (0: none). Written by the trainer alone."""

    def __init__(self, most: int, reads: Reads) -> None:
        self._most = most
        self._reads = reads
        self._reset(Taken())

    def see(self, examples: Sequence[Example]) -> None:
        """Note some of these examples, which come after all that were seen before."""
        first, count = self._taken.examples, len(examples)
        self._taken.examples += count
        chosen = range(-first % EVERY, count, EVERY)
        if not self._most or not chosen:
            return
        if isinstance(examples, Lines):  # to cut the text costs more than all else here, and most is never looked at
            self._held.append((examples.text, chosen))
            self._held_bytes += len(examples.text)
            if self._held_bytes > HELD_BYTES:
                self._take_apart()
        else:
            self._take_apart()  # what came before stands before
            is_text = self._reads == "text"
            self._keep([examples[place].text if is_text else _encoded(examples[place]) for place in chosen])

    def state(self) -> bytes:
        """One line of JSON that says how it was drawn, then a line for each example, the oldest first."""
        self._take_apart()
        return with_head(self._taken, b"".join([line + b"\n" for line in self._lines]))

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from; b"", as from a checkpoint without a sample, is the beginning.

        Raises ValueError for anything else.
        """
        taken, lines = cut(state, Taken, "sample: a sample of examples")
        self._reset(taken)
        self._lines.extend(lines.split(b"\n")[:-1])

    def _reset(self, taken: Taken) -> None:
        self._taken = taken
        self._lines: deque[bytes] = deque(maxlen=self._most or None)
        self._held: list[tuple[bytes, range]] = []
        self._held_bytes = 0

    def _take_apart(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        for text, chosen in held:
            lines = text.split(b"\n")
            self._keep([lines[place] for place in chosen])

    def _keep(self, lines: Sequence[bytes]) -> None:
        short = [line for line in lines if len(line) <= LONGEST_BYTES]
        self._taken.too_long += len(lines) - len(short)
        self._lines.extend(short)


def sampled(state: bytes, reads: Reads) -> Iterator[Example]:
    """The examples that a sample's blob holds, the oldest first; labels and weights are not told."""
    for line in lines_of(state):
        if reads == "text":
            yield Example(text=line)
        else:
            yield Example(features=json.loads(line))


def _encoded(example: Example) -> bytes:
    # The encoder of Python itself: the only one here that takes text that is no UTF-8, as VW text may hold it.
    return json.dumps(example.features, sort_keys=True, separators=(",", ":")).encode()
