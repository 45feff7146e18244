"""The Format seam: bytes of the stream to examples and back. Knows neither sources nor learners."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol

from formats.example import Decoded


class Format(Protocol):
    """Decodes payloads; one instance serves training, serving, backfill and replay alike.

    A payload that is not a valid event never raises out of `decode`: it comes back as `Dead` with the reason,
    and the others of the batch are unaffected. No non-finite number passes. Decoding has no side effects that
    change what later payloads decode to.
    """

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        """Decode payloads in order. An envelope (several events in one payload) is decoded whole or is dead."""
        ...

    def split(self, stream: BinaryIO) -> Iterator[bytes]:
        """Cut a file or a request body into payloads, in constant memory. Raises FormatError if it cannot be cut."""
        ...

    def labelled(self, payload: bytes, label: object) -> bytes:
        """The same event with this label: what the label join appends. Raises FormatError for an impossible label."""
        ...
