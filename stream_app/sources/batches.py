"""Records in lists of some size, and a micro-batch in pieces. Knows nothing of where they come from."""

from collections.abc import Iterator
from itertools import islice

from stream_app.sources.source import Records


def batched(records: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of `size` records, the last one shorter. Where reading fails, what was read before is given before that.

    >>> list(batched(iter([b"1", b"2", b"3"]), 2))
    [[b'1', b'2'], [b'3']]
    """
    while True:
        batch: list[bytes] = []
        failure: Exception | None = None
        try:
            batch.extend(islice(records, size))  # keeps what came before an error
        except Exception as error:  # noqa: BLE001 raised again below
            failure = error
        if batch:
            yield batch
        if failure is not None:
            raise failure
        if not batch:
            return


def pieces(records: Records, most_bytes: int) -> Iterator[Records]:
    """The same records in order, in pieces of at most so many bytes; a record that is larger is a piece by itself.

    >>> [piece.payloads for piece in pieces(Records(0, 7, [b"12", b"3", b"4567", b"8"], 0.0), 3)]
    [[b'12', b'3'], [b'4567'], [b'8']]
    """
    sizes = list(map(len, records.payloads))
    if sum(sizes) <= most_bytes:
        yield records
        return
    first, taken = 0, 0
    for number, size in enumerate(sizes):
        if number > first and taken + size > most_bytes:
            yield _piece(records, first, number)
            first, taken = number, 0
        taken += size
    yield _piece(records, first, len(sizes))


def _piece(records: Records, first: int, last: int) -> Records:
    return Records(records.partition, records.offset + first, records.payloads[first:last], records.time_s)
