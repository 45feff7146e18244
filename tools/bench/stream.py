"""The events that are learnt in the benchmarks: written out once per run, as JSON, VW text and CSV."""

import asyncio
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from stream_app.sources.embedded_log import EmbeddedLog
from tools import bundled

AIRLINE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "allyears2k.csv"
LABEL = "IsDepDelayed"
BUNDLED = "Shuttle"
NAMESPACE = "f"
APPEND = 500
"""Events appended at once, as `weir produce` does."""

_QUANTITIES = {
    "ActualElapsedTime", "CRSElapsedTime", "AirTime", "ArrDelay", "DepDelay", "Distance", "TaxiIn", "TaxiOut",
    "CarrierDelay", "WeatherDelay", "NASDelay", "SecurityDelay", "LateAircraftDelay",
}  # fmt: skip

Event = dict[str, Any]


class Stream(msgspec.Struct, frozen=True):
    """Where the stream lies. The files hold it once; `json_events` and `vw_lines` repeat it."""

    name: str
    events: int
    features: float
    """Features per event, on average, without VW's constant."""
    json: Path
    """One event per line, without id and time."""
    vw: Path
    csv: Path
    """UTF-8, with a header, the label in the last column."""


def prepare(folder: Path) -> Stream:
    """The airline stream where it lies beside the checkout, else a data set that every user has."""
    if AIRLINE.exists():
        text = AIRLINE.read_text(encoding="iso-8859-1")
        return _written(folder, "airline", text, list(_airline(text)))
    events = [orjson.loads(event) for event in bundled.events(BUNDLED)]
    names = list(events[0]["features"])
    rows = [",".join(map(str, [*event["features"].values(), int(event["label"])])) for event in events]
    text = "\n".join([",".join([*names, "label"]), *rows, ""])
    wrapped = [_event(int(event["label"]), event["features"]) for event in events]
    return _written(folder, f"{BUNDLED} (bundled with river)", text, wrapped)


def vw_line(event: Event) -> str:
    """The event as a line of VW text, by a join that knows nothing of its shape and checks nothing."""
    parts = ["1" if event["label"] == 1 else "-1"]
    for namespace, features in event["features"].items():
        parts.append(f"|{namespace}")
        for name, value in features.items():
            parts.append(f"{name}={value}" if isinstance(value, str) else f"{name}:{value}")
    return " ".join(parts)


def json_events(path: Path, passes: int) -> Iterator[bytes]:
    """The events as they arrive, each with an id and a time of its own."""
    events = path.read_bytes().splitlines()
    for number, event in enumerate(itertools.chain.from_iterable(itertools.repeat(events, passes))):
        yield b'{"id":"event-%d","ts":%d.0,' % (number, 1_700_000_000 + number) + event[1:]


def vw_lines(path: Path, passes: int) -> Iterator[bytes]:
    """The same as VW text."""
    lines = path.read_bytes().splitlines()
    yield from itertools.chain.from_iterable(itertools.repeat(lines, passes))


def fill(directory: Path, stream: Stream, format_: Literal["json", "vw"], passes: int) -> None:
    """Make an embedded log of the stream."""
    payloads = json_events(stream.json, passes) if format_ == "json" else vw_lines(stream.vw, passes)
    asyncio.run(_fill(directory, payloads))


async def _fill(directory: Path, payloads: Iterator[bytes]) -> None:
    log = EmbeddedLog(directory)
    while batch := list(itertools.islice(payloads, APPEND)):
        await log.append(batch)
    await log.close()


def _written(folder: Path, name: str, text: str, events: list[Event]) -> Stream:
    features = sum(len(event["features"][NAMESPACE]) for event in events) / len(events)
    stream = Stream(name, len(events), features, folder / "events.json", folder / "events.vw", folder / "events.csv")
    stream.json.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
    stream.vw.write_text("".join(f"{vw_line(event)}\n" for event in events), encoding="utf-8")
    stream.csv.write_text(text, encoding="utf-8")
    return stream


def _airline(text: str) -> Iterator[Event]:
    """Every column but the label: quantities as numbers, missing ones left out, all others as text."""
    for row in csv.DictReader(text.splitlines()):
        label = int(row.pop(LABEL) == "YES")
        features: dict[str, str | float] = {}
        for name, cell in row.items():
            if name not in _QUANTITIES:
                features[name] = cell
            elif cell != "NA":
                features[name] = float(cell)
        yield _event(label, features)


def _event(label: int, features: dict[str, Any]) -> Event:
    return {"label": label, "features": {NAMESPACE: features}}
