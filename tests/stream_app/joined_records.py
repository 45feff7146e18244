"""Predictions and labels for tests of the label join, and a slow join to compare with."""

import io
import json
import random
from collections.abc import Sequence

from formats.json_event import JsonEvent
from formats.labels import Labels
from stream_app.label_join import Joined, LabelJoin, Record

WAIT_S = 100.0
FORMAT = JsonEvent(Labels.binary(is_signed=True))


def payload(number: int, version: int = 0) -> bytes:
    """The event that is predicted under the id of this number."""
    return json.dumps({"id": f"e{number}", "features": {"n": number, "v": version, "c": "AB"[number % 2]}}).encode()


def label_of(number: int) -> int:
    return number * 7 % 3 % 2


def completed(number: int, version: int = 0) -> bytes:
    """What is to be learnt of it."""
    return FORMAT.labelled(payload(number, version), label_of(number))


def label(number: int, value: object = None) -> bytes:
    return json.dumps({"id": f"e{number}", "label": label_of(number) if value is None else value}).encode()


def prediction_record(number: int, time_s: float = 0.0, version: int = 0, offset: int = 0) -> Record:
    return Record(False, f"e{number}".encode(), payload(number, version), time_s, offset)


def label_record(number: int, time_s: float = 0.0, value: object = None, offset: int = 0) -> Record:
    return Record(True, f"e{number}".encode(), label(number, value), time_s, offset)


def new_join(wait_s: float = WAIT_S, max_bytes: int = 1 << 20) -> LabelJoin:
    return LabelJoin(FORMAT, wait_s, max_bytes)


class Partition:
    """A state in a dict, and all that came out of it."""

    def __init__(self, join: LabelJoin | None = None) -> None:
        self.state: dict[bytes, bytes] = {}
        self.events: list[bytes] = []
        self.dead: list[str] = []
        self.counts: dict[str, int] = {}
        self._join = join or new_join()

    def take(self, *records: Record) -> Joined:
        step = self._join.join(self.state.get, records)
        self.write(step)
        self.events += [event for _, event in step.events]
        self.dead += [letter.reason.partition(":")[0].partition(" within")[0] for letter in step.dead]
        for name, number in step.counts.items():
            self.counts[name] = self.counts.get(name, 0) + number
        return step

    def write(self, step: Joined, most: int | None = None) -> None:
        """Make the first `most` changes, as a kill would leave them."""
        for key, value in list(step.changes.items())[:most]:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value


def slowly(records: Sequence[Record], wait_s: float = WAIT_S) -> list[bytes]:
    """The events of these records by the rules as they are said, with no care for memory."""
    clock, events = 0.0, []
    known: dict[bytes, tuple[str, float, bytes]] = {}
    for record in records:
        clock = max(clock, record.time_s)
        kind, since, content = known.get(record.id, ("", clock, b""))
        if clock - since > wait_s:
            since += wait_s
            kind = "expired" if kind == "predicted" and clock - since <= wait_s else ""
        if record.is_label and kind == "":
            known[record.id] = ("labelled", clock, record.content)
        elif record.is_label and kind == "predicted":
            events.append(FORMAT.labelled(content, json.loads(record.content)["label"]))
            known[record.id] = ("done", clock, b"")
        elif not record.is_label and kind == "labelled":
            events.append(FORMAT.labelled(record.content, json.loads(content)["label"]))
            known[record.id] = ("done", clock, b"")
        elif not record.is_label and kind != "done":
            known[record.id] = ("predicted", clock, record.content)
    return events


def lines(parts: Sequence[bytes]) -> bytes:
    return b"\n".join(parts)


def split(body: bytes) -> list[bytes]:
    return list(FORMAT.split(io.BytesIO(body)))


def shuffled(count: int, chance: random.Random) -> list[Record]:
    """Predictions and labels of so many ids, in any order, some of them twice."""
    records = [make(number) for number in range(count) for make in (prediction_record, label_record)]
    records += chance.sample(records, count // 2)
    chance.shuffle(records)
    return records
