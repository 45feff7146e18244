"""Files read and decoded by a process of their own, so that the learner waits for neither. Knows no learner.

What arrives is what reading and decoding here would give, batch for batch: only where it is worked out differs.
"""

import fcntl
import multiprocessing
import os
import pickle
import signal
from collections.abc import Generator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import msgspec

from formats.example import Decoded, Example, Lines, ids_of, labels_of, text_of, times_of, weights_of
from formats.format import Format
from stream_app.sources.file import FilePlace, FileSource
from stream_app.sources.source import Records, SourceError

WORTH_IT_BYTES = 1 << 20
"""Files smaller than this are learnt before another process would have begun."""

_PIPE_BYTES = 1 << 20

_SENT_AT_ONCE = 4


class ReadBatch(msgspec.Struct, frozen=True):
    """Records, what they decode to, and where in the files they end."""

    records: Records
    decoded: Decoded
    place: FilePlace


def read_ahead(source: FileSource, format_: Format, size: int) -> Generator[ReadBatch]:
    """All batches of the source, in order, read in a child process where that pays.

    Raises what reading raises, after everything that was read before; SourceError if the child process ends early.
    """
    if source.size_bytes < WORTH_IT_BYTES or len(os.sched_getaffinity(0)) < 2:
        return _batches(source, format_, size)
    return _from_child(source, format_, size)


def _batches(source: FileSource, format_: Format, size: int) -> Generator[ReadBatch]:
    for records in source.batches(size):
        yield ReadBatch(records, format_.decode(records.payloads), source.place)


def _from_child(source: FileSource, format_: Format, size: int) -> Generator[ReadBatch]:
    # A forked child has the format and the source as they are here. It uses nothing else of this process.
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    with suppress(OSError):  # a pipe of the usual size is slower, and nothing else
        fcntl.fcntl(sending.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    child = context.Process(target=_send_all, args=(sending, receiving, source, format_, size), daemon=True)
    child.start()
    sending.close()
    try:
        while (received := _received(receiving, child)) is not None:
            if isinstance(received, Exception):
                raise received
            for batch in received:
                source.place = batch.place
                yield _with_payloads(batch)
    finally:
        receiving.close()
        child.terminate()
        child.join()


def _received(receiving: Connection, child: BaseProcess) -> list[ReadBatch] | Exception | None:
    """The next batches, the error that ended reading, or None at the end. Only the child can write to the pipe."""
    try:
        received: list[ReadBatch] | Exception | None = pickle.loads(receiving.recv_bytes())
    except EOFError as error:
        child.join()
        raise SourceError(f"the process that reads the files ended too early (exit code {child.exitcode})") from error
    return received


def _send_all(sending: Connection, receiving: Connection, source: FileSource, format_: Format, size: int) -> None:
    """The child's whole life. Ends quietly when nobody receives any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    receiving.close()
    with suppress(BrokenPipeError):
        ended: Exception | None = None
        batches: list[ReadBatch] = []
        try:
            for batch in _batches(source, format_, size):
                batches.append(_as_columns(batch))
                if len(batches) == _SENT_AT_ONCE:
                    sending.send_bytes(pickle.dumps(batches, pickle.HIGHEST_PROTOCOL))
                    batches.clear()
        except Exception as error:  # noqa: BLE001 raised again by the parent
            ended = error
        sending.send_bytes(pickle.dumps(batches))
        sending.send_bytes(pickle.dumps(ended))


def _as_columns(batch: ReadBatch) -> ReadBatch:
    """The same with its examples as columns where that is possible: far fewer objects to send."""
    records, examples = batch.records, batch.decoded.examples
    if isinstance(examples, Lines):
        if len(records.payloads) == len(examples) and b"\n".join(records.payloads) == examples.text:
            return msgspec.structs.replace(batch, records=msgspec.structs.replace(records, payloads=[]))
        return batch
    if not examples or not all(map(_is_line, examples)):
        return batch
    columns = labels_of(examples), weights_of(examples), ids_of(examples), times_of(examples)
    decoded = msgspec.structs.replace(batch.decoded, examples=Lines(text_of(examples), *columns))
    return msgspec.structs.replace(batch, decoded=decoded)


def _with_payloads(batch: ReadBatch) -> ReadBatch:
    """With the payloads that were left out, because they are the lines that were decoded from them."""
    records, examples = batch.records, batch.decoded.examples
    if records.payloads or not isinstance(examples, Lines):
        return batch
    payloads = examples.text.split(b"\n")
    return msgspec.structs.replace(batch, records=msgspec.structs.replace(records, payloads=payloads))


def _is_line(example: Example) -> bool:
    return bool(example.text) and b"\n" not in example.text
