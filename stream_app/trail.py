"""The trail of a stretch: short sums along its records, by which the first one that differs can be found."""

import array
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

MOST = 262_144
"""Sums kept; beyond, one for every second record, then every fourth, and so on."""

_SUM = "<u4"


class Recorded(msgspec.Struct, frozen=True, array_like=True):
    """The content of the blob."""

    every: int
    """Records from one sum to the next."""
    records: int
    sums: bytes
    """Little-endian uint32."""


class Trail:
    """Running crc32 over the records learnt since the parent, a function of the records alone, however they were cut.

    It proves nothing (the sha256 of the stretch does), it only says where to look.
    """

    def __init__(self) -> None:
        self._every = 1
        self._records = 0
        self._sum = 0
        self._sums = array.array("I")

    def add(self, payloads: Sequence[bytes]) -> None:
        """These records were learnt next."""
        running, crc32 = self._sum, zlib.crc32
        if self._every == 1 and len(self._sums) + len(payloads) <= MOST:
            self._sums.extend([running := crc32(payload, running) for payload in payloads])
            self._records += len(payloads)
        else:
            for payload in payloads:
                running = crc32(payload, running)
                self._records += 1
                if self._records % self._every == 0:
                    self._note(running)
        self._sum = running

    def state(self) -> bytes:
        """The trail so far, as a blob."""
        sums = np.array(self._sums, _SUM).tobytes()
        return msgspec.msgpack.encode(Recorded(self._every, self._records, sums))

    def _note(self, running: int) -> None:
        self._sums.append(running)
        if len(self._sums) > MOST:
            self._every *= 2
            self._sums = self._sums[1::2]


def first_difference(recorded: bytes, found: bytes) -> range | None:
    """Which records of two trails may be the first that differ, counted from 0; None where none can be named.

    Raises ValueError for what is no trail.
    """
    try:
        a, b = (msgspec.msgpack.decode(blob, type=Recorded) for blob in (recorded, found))
    except msgspec.DecodeError as error:
        raise ValueError(f"trail: {error}") from error
    every = max(a.every, b.every)
    one, other = _sums(a, every), _sums(b, every)
    agreed = min(len(one), len(other))
    differing = np.flatnonzero(one[:agreed] != other[:agreed])
    if len(differing):
        first = int(differing[0]) * every
        return range(first, first + every)
    if a.records == b.records:
        return None
    first = agreed * every
    return range(first, max(a.records, b.records)) if every > 1 else range(first, first + 1)


def _sums(recorded: Recorded, every: int) -> NDArray[np.uint32]:
    """One sum for so many records."""
    step = every // recorded.every
    return np.frombuffer(recorded.sums, _SUM)[step - 1 :: step]
