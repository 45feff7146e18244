"""Bad records put into the log behind the service's back: kept as dead letters, never learnt, never fatal."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from weir_process import Weir, append, closing, synthetic, wait_for

GOOD = synthetic(400)
JSON_POISON = [
    b"", b" ", b"\n\n", b"{", b'{"label": 1, "features": {"f": {"a": 1}', b"null", b"17", b'"text"', b"true",
    b"\xff\xfe\x00", b'{"label": 1, "features": {"a": "\xff"}}', b'{"label": 1, "features": {"a": "\\ud800"}}',
    b'{"label": NaN, "features": {"a": 1}}', b'{"label": 1, "features": {"a": NaN}}',
    b'{"label": 1, "features": {"a": Infinity}}', b'{"label": 1, "features": {"a": -1e999}}',
    b'{"label": 1, "features": {"a": 3e39}}', b'{"label": 1, "features": {"a": 1e30}}',
    b'{"label": 1e400, "features": {"a": 1}}', b'{"label": 1e30, "features": {"a": 1}}',
    b'{"label": "YES", "features": {"a": 1}}', b'{"label": "nan", "features": {"a": 1}}',
    b'{"label": "inf", "features": {"a": 1}}', b'{"label": 2, "features": {"a": 1}}',
    b'{"label": [1], "features": {"a": 1}}', b'{"label": {"a": 1}, "features": {"a": 1}}',
    b'{"label": 1}', b'{"label": 1, "features": null}', b'{"label": 1, "features": []}',
    b'{"label": 1, "features": "a b"}', b'{"label": 1, "features": {"f": {"a": {"b": 1}}}}',
    b'{"label": 1, "features": {"a": [1, 2]}}', b'{"label": 1, "features": {"a": [["x"]]}}',
    b'{"label": 1, "weight": -1, "features": {"a": 1}}', b'{"label": 1, "weight": 1e10, "features": {"a": 1}}',
    b'{"label": 1, "weight": "1", "features": {"a": 1}}', b'{"label": 1, "id": [], "features": {"a": 1}}',
    b'{"label": 1, "id": 1.5, "features": {"a": 1}}', b'{"label": 1, "ts": "soon", "features": {"a": 1}}',
    b'{"label": 1, "ts": 1e300, "features": {"a": 1}}', b'{"label": 1, "ts": "9999-99-99", "features": {"a": 1}}',
    b'{"label": 1, "actions": [], "features": null}', b"[" * 5000, b"[" * 500 + b"]" * 500,
    b'{"a":' * 2000 + b"1" + b"}" * 2000, b"[1, 2]", b"[[]]", b"1\n2", b'{"label": 1}\n{"label": 1}',
    b'{"label": 1, "features": {"a": 1}} trailing', b'{"label": 1, "features": {"a": 1}}\x00',
    b'[{"label": 1, "features": {"a": 1}}, {"label": "YES", "features": {"a": 1}}]',
    b'{"label": 1, "features": {"a": 1}}\n{"label": 1, "features": {"a": 1}',
    b"[" + b",".join([b'{"label": 1, "features": {"a": 1}}'] * 10_001) + b"]",
]  # fmt: skip
VW_POISON = [
    b"", b" ", b"\n", b"\r\n", b"no bar", b"YES |f a", b"nan |f a", b"1e400 |f a", b"inf |f a", b"-inf |f a",
    b"infinity |f a", b"1e30 |f a", b"0x10 |f a", b"1_0 |f a", b"1 -1 |f a", b"1 nan |f a", b"1 inf |f a",
    b"1 1 nan |f a", b"1 2 3 4 |f a", b"1\t|f a", b"1 |f a:nan", b"1 |f a:inf", b"1 |f a:3e39", b"1 |f a:1e30",
    b"1 |f a:1_0 b", b"1 |f a: b", b"1 |f a:x", b"1 |f a:1:2", b"1 |f:nan a", b"1 |f:inf a", b"1 |f:x a",
    b"1 |f a\n-1 |f b", b"1 |f a\n\n-1 |f b", b"1,0 |f a", b"\xff\xfe |f a", b"\x00 |f a", b"--help", b"--quiet -i x",
]  # fmt: skip
CSV_POISON = [
    b"", b" ", b",", b"YES", b"YES,A", b"YES,A,1,2", b"MAYBE,A,1", b"yes,A,1", b"nan,A,1", b"1,A,1", b"YES,A,nan",
    b"YES,A,inf", b"YES,A,1e400", b"YES,A,3e39", b"YES,A,1_0", b"YES,A,0x10", b'YES,"A,1', b'YES,"A"x,1',
    b'YES,"A\n",1\nNO,B,2', b"YES,A,1\nNO,B,2", b"YES,\xff\xfe,1", b"YES;A;1", b"label,carrier,hour,label",
]  # fmt: skip


def as_vw(event: dict[str, Any]) -> bytes:
    features = event["features"]["f"]
    line = "{} |f carrier={carrier} origin={origin} hour:{hour}"
    return line.format(event["label"] * 2 - 1, **features).encode()


def as_csv(event: dict[str, Any]) -> bytes:
    features = event["features"]["f"]
    return f"{'YES' if event['label'] else 'NO'},{features['carrier']},{features['hour']}".encode()


EVENTS = [json.loads(payload) for payload in GOOD]
CSV_SCHEMA = {"label": "label", "labels": {"YES": 1, "NO": -1}, "fields": {"hour": {"type": "number"}}}
FORMATS: dict[str, tuple[list[bytes], list[bytes], dict[str, dict[str, Any]]]] = {
    "json": (GOOD, JSON_POISON, {}),
    "vw": ([as_vw(event) for event in EVENTS], VW_POISON, {"learner": {"args": "--loss_function logistic --ftrl"}}),
    "csv": ([as_csv(event) for event in EVENTS], CSV_POISON, {"schema": CSV_SCHEMA}),
}


def service_of(format_: str, folder: Path) -> Weir:
    events: dict[str, Any] = {"format": format_}
    if format_ == "csv":
        events["columns"] = ["label", "carrier", "hour"]
    return Weir(folder, events=events, **FORMATS[format_][2])


def mixed(good: Sequence[bytes], bad: Sequence[bytes]) -> tuple[list[bytes], dict[int, bytes]]:
    """Both, shuffled together with the good ones in order; and where the bad ones lie."""
    chance = random.Random(7)
    records: list[bytes] = []
    remaining = list(good)
    places = {}
    for payload in bad:
        take = chance.randrange(max(1, 2 * len(good) // len(bad)))
        records, remaining = records + remaining[:take], remaining[take:]
        places[len(records)] = payload
        records.append(payload)
    return records + remaining, places


def gibberish(count: int, seed: int = 0) -> list[bytes]:
    """Random bytes that no format may take for an event: without a bar."""
    chance = random.Random(seed)
    return [chance.randbytes(chance.randrange(1, 200)).replace(b"|", b"") for _ in range(count)]


@pytest.mark.parametrize("format_", FORMATS)
async def test_every_bad_record_is_kept_with_its_place_and_a_reason_and_changes_nothing(
    format_: str, tmp_path: Path
) -> None:
    good, poison, _ = FORMATS[format_]
    records, places = mixed(good, poison + gibberish(200))
    service, clean = service_of(format_, tmp_path / "poisoned"), service_of(format_, tmp_path / "clean")
    await append(service.log, records)
    await append(clean.log, good)
    with closing(service, clean):
        service.start().wait_learnt(len(records))
        letters = service.get("/dead-letters?limit=10000").body["latest"]
        assert {letter["offset"] for letter in letters} == places.keys()
        assert all(letter["partition"] == 0 and letter["reason"] for letter in letters)
        assert service.get("/health/ready").status == 200
        clean.start().wait_learnt(len(good))
        assert service.stop() == clean.stop() == 0
    assert service.blob("learner") == clean.blob("learner")


@pytest.mark.parametrize("format_", FORMATS)
async def test_good_records_cut_and_changed_at_random_stop_nothing(format_: str, tmp_path: Path) -> None:
    good, poison, _ = FORMATS[format_]
    records = mutated([*good, *(bad for bad in poison if len(bad) < 1000)], 3_000)
    service = service_of(format_, tmp_path)
    await append(service.log, records)
    with closing(service):
        status = service.start().wait_learnt(len(records))
        assert status["dead_letters"] > 1_000
        assert math.isfinite(status["average_loss"])
        answer = service.post("/predict", good[0])
        assert answer.status == 200
        assert math.isfinite(answer.body["prediction"])
        assert service.get("/health/ready").status == 200


def mutated(payloads: Sequence[bytes], count: int) -> list[bytes]:
    """Each with a few bytes changed, doubled, cut out or taken from another."""
    chance = random.Random(11)
    found = []
    for _ in range(count):
        data = bytearray(chance.choice(payloads))
        for _ in range(chance.randrange(1, 4)):
            first = chance.randrange(len(data) + 1)
            last = min(len(data), first + chance.randrange(8))
            other = chance.choice(payloads)
            piece = other[(cut := chance.randrange(len(other) + 1)) : cut + 6]
            data[first:last] = chance.choice([b"", bytes(data[first:last]) * 2, chance.randbytes(1), piece, b'"', b":"])
        found.append(bytes(data))
    return found


async def test_memory_stays_flat_over_200_000_bad_records(tmp_path: Path) -> None:
    """The bound is far above what RocksDB buffers, and far below what VW would leak: 30 KB each, 6 GB in all."""
    service = Weir(tmp_path, events={"format": "vw"}, state={"dead_letters": 5_000})
    poison = [b"YES |f a b:%d" % number for number in range(200_000)]
    await append(service.log, poison[:20_000])
    with closing(service):
        service.start().wait_learnt(20_000)
        before = service.rss_bytes()
        assert service.stop() == 0
        await append(service.log, poison[20_000:])
        service.start().wait_learnt(200_000)
        assert service.rss_bytes() - before < 200 << 20
        assert service.get("/dead-letters?limit=1").body["kept"] <= 5_500


async def test_a_bad_record_met_again_after_a_kill_is_one_dead_letter(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    await append(service.log, [*GOOD, b"bad"])
    with closing(service):
        for _ in range(3):
            service.start()
            wait_for(lambda: service.status()["lag"] == 0)
            service.kill()
        service.start().wait_learnt(len(GOOD) + 1)
        letters = service.get("/dead-letters").body
        assert (letters["kept"], letters["latest"][0]["offset"]) == (1, len(GOOD))
