"""Records in lists of some size. Knows nothing of where they come from."""

from collections.abc import Iterator
from itertools import islice


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
