"""The last labelled rows of the stream, kept as columns. Knows nothing of what the columns mean."""

import numpy as np

from stream_app.progressive.rows import Matrix, ProgressiveError, from_bytes, to_bytes


class Window:
    """A ring of the last `size` labelled rows, each of `columns` float64 values."""

    def __init__(self, size: int, columns: int) -> None:
        self.size = size
        self._ring: Matrix = np.zeros((columns, size))
        self._next = 0
        self._filled = 0

    def add(self, rows: Matrix) -> None:
        """Append rows of shape (columns, n); the oldest beyond `size` are forgotten."""
        rows = rows[:, -self.size :]
        count = rows.shape[1]
        before_the_end = min(count, self.size - self._next)
        self._ring[:, self._next : self._next + before_the_end] = rows[:, :before_the_end]
        self._ring[:, : count - before_the_end] = rows[:, before_the_end:]
        self._next = (self._next + count) % self.size
        self._filled = min(self.size, self._filled + count)

    def newest(self, count: int) -> Matrix:
        """The last `count` rows at most, oldest first, as a copy of shape (columns, n)."""
        wanted = np.arange(-min(max(count, 0), self._filled), 0)
        return self._ring[:, (self._next + wanted) % self.size]

    def with_pending(self, rows: Matrix) -> Matrix:
        """The window as it would be after `add(rows)`, oldest first, as a copy."""
        return np.concatenate([self.newest(self.size - rows.shape[1]), rows[:, -self.size :]], axis=1)

    def state(self, pending: int) -> bytes:
        """The rows that will still be in the window when `pending` more have been added."""
        return to_bytes(self.newest(self.size - pending))

    def restore(self, state: bytes) -> None:
        """Become a window of these rows."""
        rows = from_bytes("window", state, len(self._ring))
        if rows.shape[1] > self.size:
            raise ProgressiveError(f"progressive state: window: {rows.shape[1]} rows, expected at most {self.size}")
        self._ring[:] = 0.0
        self._next = self._filled = 0
        self.add(rows)
