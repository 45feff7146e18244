"""Moments of the live model, and how they are named. Knows offsets only."""

import functools
import re

import msgspec

from stream_app.refusal import ServiceError
from stream_app.sources.source import Position

_PLACE = re.compile(r"(?:live@)?(\d+:\d+(?:,\d+:\d+)*)(?:\+(\d+))?")


class Moment(msgspec.Struct, frozen=True):
    """A state of the live model: what it had learnt."""

    position: Position
    ahead: int = 0
    """Examples learnt of the micro-batch after the position."""

    @property
    def name(self) -> str:
        """As answers are signed with it."""
        return live_name(self.position, self.ahead)


def live_name(position: Position, ahead: int) -> str:
    """What answers of the model being learnt are signed with: `live@<partition>:<next offset>,…`.

    >>> live_name({1: 40, 0: 12}, 128)
    'live@0:12,1:40+128'
    """
    return _live_name(tuple(position.items()), ahead)


@functools.lru_cache(maxsize=4)  # every answer is signed, and many by one model
def _live_name(offsets: tuple[tuple[int, int], ...], ahead: int) -> str:
    place = ",".join(f"{part}:{offset}" for part, offset in sorted(offsets)) or "0:0"
    return f"live@{place}+{ahead}" if ahead else f"live@{place}"


def moment(text: str) -> Moment:
    """The moment that `live@0:12,1:40+128`, `0:12,1:40`, or `12` for a single partition names.

    Raises ServiceError for anything else.

    >>> moment("12"), moment("live@0:12,1:40+128").name
    (Moment(position={0: 12}, ahead=0), 'live@0:12,1:40+128')
    """
    if text.isdecimal():
        return Moment({0: int(text)})
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ServiceError(f"{text!r}: expected an offset, PARTITION:OFFSET,..., or live@... as answers name it")
    pairs = (pair.split(":") for pair in match[1].split(","))
    return Moment({int(part): int(offset) for part, offset in pairs}, int(match[2] or 0))
