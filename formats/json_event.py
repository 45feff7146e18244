"""JSON events: Weir's canonical form, flat records under a schema, envelopes of many events, bandit events."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson

from formats.example import Bandit, Dead, Decoded, Example, Features, FormatError, Label
from formats.json_array import MAX_VALUE_BYTES, array_items
from formats.labels import Labels
from formats.lines import BOM
from formats.mistaken import told
from formats.numbers import event_time, number, shown, weight
from formats.schema import Schema
from formats.shape import Plan, Shapes, features_of
from formats.vw_text import Reads

MAX_ID = 1_024
"""Characters in an id, at most: ids are remembered."""

MAX_ENVELOPE = 10_000
"""Events in one record, at most: an envelope is learnt whole before anything else happens."""

_HEAD_BYTES = 64 << 10


class JsonEvent:
    """Decodes JSON objects; a JSON array or lines of JSON are an envelope, decoded whole or dead.

    An object with `features` or `actions` is canonical; any other is flat, and needs a schema naming its label.
    """

    def __init__(self, labels: Labels, schema: Schema | None = None, reads: Reads = "text") -> None:
        self._labels = labels
        self._schema = schema or Schema()
        self._reads = reads
        self._shapes = Shapes(self._schema, self._schema.value)
        self._plan = Plan([])

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        examples: list[Example] = []
        dead: list[Dead] = []
        sizes: dict[int, int] = {}
        for index, payload in enumerate(payloads):
            try:
                try:
                    event = orjson.loads(payload)
                except orjson.JSONDecodeError as error:
                    event = _lines(payload, error)
                if event.__class__ is dict:
                    examples.append(self._example(event))
                else:
                    several = self._envelope(event)
                    sizes[index] = len(several)
                    examples += several
            except FormatError as error:
                dead.append(Dead(index, told(str(error), payload, "json")))
        return Decoded(examples, dead, sizes)

    def split(self, stream: BinaryIO) -> Iterator[bytes]:
        """Lines of JSON; or, where the first line is no JSON by itself or an array, one value: its items, or itself.

        Items of an array are cut one by one. A value over several lines is looked for within MAX_VALUE_BYTES.
        """
        head = stream.readline(_HEAD_BYTES).removeprefix(BOM)
        while head and not head.strip():
            head = stream.readline(_HEAD_BYTES)
        if head.lstrip().startswith(b"["):
            yield from array_items(head.lstrip(), stream)
            return
        first = (head if head.endswith(b"\n") else head + stream.readline()).strip()
        if not first:
            return
        lines = (line for raw in stream if (line := raw.strip()))
        if _is_json(first):
            yield first
        else:
            yield from _value(first, lines)
        yield from lines

    def labelled(self, payload: bytes, label: object) -> bytes:
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise FormatError(f"not JSON: {error}") from error
        if not isinstance(event, dict):
            raise FormatError("label: only a single event can be labelled, not an envelope")
        self._labels.value(label)
        is_flat = "features" not in event and "actions" not in event and self._schema.label is not None
        name = self._schema.label if is_flat and self._schema.label else "label"
        if event.get(name) is not None:
            raise FormatError(f"{name}: the event has one already: {event[name]!r}")
        return orjson.dumps(event | {name: label})

    def _envelope(self, event: object) -> list[Example]:
        if not isinstance(event, list):
            raise FormatError(f"expected a JSON object or an array of them, got {type(event).__name__}")
        if len(event) > MAX_ENVELOPE:
            raise FormatError(f"envelope of {len(event)} events; at most {MAX_ENVELOPE} fit in one record")
        examples = []
        for index, item in enumerate(event):
            if not isinstance(item, dict):
                raise FormatError(f"[{index}]: expected a JSON object, got {type(item).__name__}")
            try:
                examples.append(self._example(item))
            except FormatError as error:
                raise FormatError(f"[{index}].{error}") from error
        return examples

    def _example(self, event: dict[str, Any]) -> Example:
        raw = event.get("features")
        if raw is None:
            return self._special(event)
        if raw.__class__ is not dict:
            raise FormatError(f"features: expected an object, got {type(raw).__name__}")
        get = event.get
        label = get("label")
        if label is None and self._schema.label is not None:
            label = _field(raw, self._schema.label)
        value, head = self._labels.known(label)
        importance = get("weight")
        example = Example(value, id=get("id"), time_s=get("ts"))
        if importance is not None:
            example.weight = weight(number(importance, "weight"))
            head = self._labels.written(value, example.weight).encode()
        if example.id.__class__ is not str or not 0 < len(example.id) <= MAX_ID:
            example.id = _id(example.id)
        if example.time_s is not None:
            example.time_s = event_time(example.time_s)
        if self._reads == "text":
            example.text = head + self._features_text(raw)
        else:
            example.features = self._features(raw)
        return example

    def _fill(self, example: Example, raw: dict[str, Any]) -> None:
        if self._reads == "text":
            head = self._labels.written(example.label, example.weight)
            example.text = head.encode() + self._features_text(raw)
        else:
            example.features = self._features(raw)

    def _features_text(self, raw: dict[str, Any]) -> bytes:
        text = self._plan.text_if_fits(raw)
        if text is not None:
            return text
        shape = tuple([(name, *value) if value.__class__ is dict else name for name, value in raw.items()])
        plan = self._shapes.known(shape)
        if plan is None:
            plan = self._shapes.object_plan(shape, raw)
        self._plan = plan
        return plan.text(raw)

    def _features(self, raw: dict[str, Any]) -> Features:
        values: list[Any] = []
        for value in raw.values():
            if isinstance(value, dict):
                values += value.values()
            else:
                values.append(value)
        return features_of(self._schema, self._schema.value, _fields(raw), values)

    def _special(self, event: dict[str, Any]) -> Example:
        if "actions" in event:
            return self._bandit(event)
        schema = self._schema
        if schema.label is None:
            raise FormatError(
                "features: required, an object of namespaces or features (or name schema.label: flat records)"
            )
        importance = event.get(schema.weight) if schema.weight else None
        example = Example(
            self._labels.value(event.get(schema.label), schema.label),
            1.0 if importance is None else weight(number(importance, schema.weight or "weight")),
            id=_id(event.get(schema.id)) if schema.id else None,
            time_s=_time(event.get(schema.time), schema.time) if schema.time else None,
        )
        self._fill(example, event)
        return example

    def _bandit(self, event: dict[str, Any]) -> Example:
        """Shared features and one line per action; the label stands on the line of the action taken."""
        actions = event["actions"]
        if not isinstance(actions, list) or not actions or not all(isinstance(action, dict) for action in actions):
            raise FormatError("actions: expected a list of at least one object of features")
        shared = event.get("shared")
        if shared is not None and not isinstance(shared, dict):
            raise FormatError(f"shared: expected an object of features, got {type(shared).__name__}")
        label = self._labels.value(event.get("label"))
        if isinstance(label, Bandit) and label.action > len(actions):
            raise FormatError(f"label.action: {label.action} is not one of the {len(actions)} actions")
        example = Example(label, id=_id(event.get("id")), time_s=_time(event.get("ts")))
        if self._reads == "features":
            example.features = self._features(shared or {})
            example.actions = [self._features(action) for action in actions]
            return example
        lines = [b"shared " + self._features_text(shared)] if shared is not None else []
        for index, action in enumerate(actions, 1):
            lines.append(self._action_head(label, index) + self._features_text(action))
        example.text = b"\n".join(lines)
        return example

    def _action_head(self, label: Label, index: int) -> bytes:
        is_taken = isinstance(label, Bandit) and label.action == index
        return self._labels.written(label, 1.0).encode() if is_taken else b""


def _lines(payload: bytes, error: orjson.JSONDecodeError) -> list[object]:
    """The events of an envelope of lines; `error` is why the payload is not one JSON value."""
    lines = [line for line in payload.split(b"\n") if line.strip()]
    if len(lines) < 2:
        raise FormatError(f"not JSON: {error}") from error
    try:
        return [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError as inner:
        raise FormatError(f"not JSON, nor lines of JSON: {inner}") from inner


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _value(first: bytes, lines: Iterator[bytes]) -> list[bytes]:
    """The value that the lines are together; lines that are no JSON stay as they are, for `decode` to refuse."""
    found, size = [first], len(first)
    for line in lines:
        found.append(line)
        size += len(line)
        if size > MAX_VALUE_BYTES:
            return found
    try:
        return [orjson.dumps(orjson.loads(b"\n".join(found)))]
    except orjson.JSONDecodeError:
        return found


def _fields(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from ((name, field) for field in value)
        else:
            yield "", name


def _field(raw: dict[str, Any], name: str) -> object:
    """The field wherever it stands: at the top or within a namespace."""
    if name in raw:
        return raw[name]
    return next((value[name] for value in raw.values() if isinstance(value, dict) and name in value), None)


def _id(raw: object) -> str | None:
    if isinstance(raw, str) and len(raw) > MAX_ID:
        raise FormatError(f"id: {len(raw)} characters; at most {MAX_ID} name an event")
    if raw is None or raw == "":
        return None  # an empty text names nothing
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    raise FormatError(f"id: expected text or a whole number, got {shown(raw)}")


def _time(raw: object, field: str = "ts") -> float | None:
    return None if raw is None else event_time(raw, field)
