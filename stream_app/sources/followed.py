"""The source of a service that only follows what others learn: it reads and appends nothing, but may know its end."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from stream_app.sources.source import Order, Position, ReadOnly, Records, SourceError

LookUp = Callable[[], Awaitable[tuple[Position, Position]]]
"""Asks where the partitions begin and end. Raises SourceError."""

READ_ONLY = "this service only follows (--follow): ask the one that learns"


class Followed:
    """A Source whose end `look` asks for, if anybody can be asked; until then, or without, no partition is known."""

    keeps_order = True

    def __init__(self, look_up: LookUp | None = None) -> None:
        self._look_up = look_up
        self._end: Position = {}
        self.problem: str | None = None

    async def look(self) -> None:
        """Ask for the end. What fails is told by `problem`, and asked again the next time."""
        if self._look_up is None:
            return
        try:
            _, self._end = await self._look_up()
            self.problem = None
        except SourceError as error:
            self.problem = str(error)

    async def read(
        self, position: Position, order: Order | None = None, size: int = 1
    ) -> AsyncGenerator[Records, None]:
        """Raises ReadOnly."""
        raise ReadOnly(READ_ONLY)
        yield

    async def append(self, payloads: Sequence[bytes], keys: Sequence[bytes | None] | None = None) -> dict[int, range]:
        """Raises ReadOnly."""
        raise ReadOnly(READ_ONLY)

    def start(self) -> Position:
        """Nothing is read here."""
        return {}

    def end(self) -> Position:
        """As `look` found it last."""
        return dict(self._end)

    def release(self, position: Position) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Nothing is held."""
