"""Which records come next, partition by partition: none left out, none twice. Knows no Kafka."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Place = TypeVar("Place", bound=Hashable)
"""A partition of a topic."""


class InOrder(Generic[Place]):
    """Takes records in the order of their offsets, however they are delivered, and says what is to be delivered again.

    A record ahead of the next one is not taken: what lies between was delivered to nobody. Where it comes a second
    time after it was asked again for what lies between, there is nothing there (compaction, transaction markers), and
    it is taken. Records behind the next one were taken already. What is `done` is what may be acknowledged.
    """

    def __init__(self) -> None:
        self._next: dict[Place, int] = {}
        self._done: dict[Place, int] = {}
        self._ahead: dict[Place, int] = {}
        self._asked: dict[Place, int] = {}
        self._before: dict[Place, int] = {}

    def begin(self, place: Place, offset: int) -> None:
        """Take the records of a partition from this offset on, unless it is under way."""
        if place not in self._next:
            self._next[place] = self._done[place] = offset

    def clear(self) -> None:
        """Take nothing more until `begin`."""
        for state in (self._next, self._done, self._ahead, self._asked, self._before):
            state.clear()

    def is_next(self, place: Place, offset: int) -> bool:
        """Whether to take this record, which was delivered; then the one after it comes next."""
        wanted = self._next.get(place)
        if wanted is None or offset < wanted:
            return False
        asked = self._asked.get(place, offset + 1)
        if offset > wanted and offset != asked:
            if offset < asked:  # so there was something before what was asked about
                self._asked.pop(place, None)
            self._ahead[place] = min(offset, self._ahead.get(place, offset))
            return False
        self._next[place] = offset + 1
        self._ahead.pop(place, None)
        self._asked.pop(place, None)
        return True

    def finish(self, place: Place, offset: int) -> None:
        """A record that was taken is done with."""
        if place in self._done:
            self._done[place] = max(self._done[place], offset + 1)

    def pass_over(self, place: Place, offset: int) -> int:
        """What lies before this offset is no longer there: go on from it. Returns how many were not done."""
        missing = max(0, offset - self._done.get(place, offset))
        if missing:
            self._next[place] = self._done[place] = offset
            for state in (self._ahead, self._asked, self._before):
                state.pop(place, None)
        return missing

    def give_back(self) -> None:
        """What was taken and is not done comes again."""
        self._next.update(self._done)

    @property
    def done(self) -> Mapping[Place, int]:
        """Per partition, the offset before which everything is done."""
        return self._done

    def stuck(self, ends: Mapping[Place, int]) -> dict[Place, int]:
        """Partitions that have more, of which nothing was taken since the last call: from where to deliver again."""
        again = {}
        for place, wanted in self._next.items():
            if ends.get(place, 0) > wanted and self._before.get(place) == wanted:
                again[place] = wanted
                if place in self._ahead:
                    self._asked[place] = self._ahead.pop(place)
        self._before = dict(self._next)
        return again
