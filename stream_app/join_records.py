"""Records of the topics of predictions and labels, taken apart: what is joined here, and what belongs elsewhere."""

import io
import zlib

import msgspec

from formats.example import FormatError
from formats.format import Format
from stream_app.label_join import DeadRecord, LateLabel, Record


class Incoming(msgspec.Struct, frozen=True):
    """A record as it was read. `time_s` is when it was appended, by the producer or the broker."""

    is_label: bool
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    time_s: float


class Stray(msgspec.Struct, frozen=True):
    """One event or label that is not in the partition of its id, or not a record of its own: to be appended again."""

    is_label: bool
    id: bytes
    content: bytes


class JoinRecords:
    """Takes records apart. A record is one prediction or label, or an envelope of many: lines, or a JSON array.

    The id of a label stands in it; that of a single prediction is the record's key, or, without a key, that of the
    event. An envelope is taken whole or not at all; its parts are strays, so that what is joined at once stays small.
    """

    def __init__(self, format_: Format, partitions: int) -> None:
        self._format = format_
        self._partitions = partitions

    def apart(self, record: Incoming) -> Record | DeadRecord | list[Stray]:
        """The record itself where it belongs here, else what is to be appended again, or why it is dead."""
        try:
            parts = self._labels(record.value) if record.is_label else self._predictions(record)
        except FormatError as error:
            return DeadRecord(record.is_label, record.key, record.offset, str(error), record.value)
        if len(parts) == 1 and zlib.crc32(parts[0][0]) % self._partitions == record.partition:
            return Record(record.is_label, *parts[0], record.time_s, record.offset)
        return [Stray(record.is_label, *part) for part in parts]

    def _predictions(self, record: Incoming) -> list[tuple[bytes, bytes]]:
        payload = record.value
        parts = [payload]
        if b"\n" in payload or payload.startswith((b"[", b" ")):
            parts = list(self._format.split(io.BytesIO(payload)))
        if not payload or not parts:
            raise FormatError("no event in it")
        decoded = self._format.decode(parts)
        if decoded.dead:
            dead = decoded.dead[0]
            raise FormatError(f"[{dead.index}].{dead.reason}" if len(parts) > 1 else dead.reason)
        if len(decoded.examples) != len(parts):
            raise FormatError("a list within a list; expected one event, or one list of events")
        if len(parts) == 1 and record.key:
            return [(record.key, parts[0])]
        ids = [example.id for example in decoded.examples]
        if None in ids:
            raise FormatError(f"[{ids.index(None)}].id: required where a record of predictions has no key of its own")
        return [(str(id_).encode(), part) for id_, part in zip(ids, parts, strict=True)]

    def _labels(self, value: bytes) -> list[tuple[bytes, bytes]]:
        try:
            labels = _labels(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FormatError(f'expected {{"id", "label"}}, a list or lines of them: {error}') from error
        if not labels:
            raise FormatError("no label in it")
        if len(labels) == 1:
            return [(str(labels[0].id).encode(), value if not _is_list(value) else msgspec.json.encode(labels[0]))]
        return [(str(label.id).encode(), msgspec.json.encode(label)) for label in labels]


def _labels(value: bytes) -> list[LateLabel]:
    if _is_list(value):
        return msgspec.json.decode(value, type=list[LateLabel])
    try:
        return [msgspec.json.decode(value, type=LateLabel)]
    except msgspec.DecodeError:
        lines = value.split(b"\n")
        if len(lines) == 1:
            raise
        return [msgspec.json.decode(line, type=LateLabel) for line in lines if line.strip()]


def _is_list(value: bytes) -> bool:
    return value.lstrip().startswith(b"[")
