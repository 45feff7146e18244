"""The dedupe window: which event ids were seen lately. Counts events, never seconds, so that a replay decides alike."""

import msgspec


class DedupeWindow:
    """Remembers at least the last `size` ids, at most twice as many; 0 remembers none.

    Two generations: when the young one is full it becomes the old one, and the old one is forgotten.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._old: dict[str, None] = {}
        self._young: dict[str, None] = {}

    def is_new(self, event_id: str) -> bool:
        """Whether this id is seen for the first time; from now on it is known."""
        if event_id in self._young or event_id in self._old:
            return False
        if self._size:
            self._young[event_id] = None
            if len(self._young) >= self._size:
                self._old, self._young = self._young, {}
        return True

    def state(self) -> bytes:
        """Both generations, in order of arrival."""
        return msgspec.msgpack.encode([list(self._old), list(self._young)])

    def restore(self, state: bytes) -> None:
        """Become what `state` was taken from."""
        old, young = msgspec.msgpack.decode(state, type=tuple[list[str], list[str]])
        self._old = dict.fromkeys(old)
        self._young = dict.fromkeys(young)
