"""An event of another format says so; one of the right format says what it said before."""

import io

import pytest
from format_samples import reason

from formats.csv_row import CsvRow
from formats.example import FormatError
from formats.format import Format
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.schema import Schema
from formats.vw_text import VwText

JSON = b'{"label": 1, "features": {"a": 1.5, "b": "x"}}'
VW = b"1 'tag |f a:1.5 b"
ROW = b"1,1.5,x"


def rows(separator: str = ",") -> CsvRow:
    return CsvRow(Labels(), Schema(label="y"), columns=("y", "a", "b"), separator=separator)


@pytest.mark.parametrize(
    ("format_", "payload", "said"),
    [
        (rows(), JSON, "it looks like JSON, but events are read as csv (events.format): "),
        (rows(), b'[{"label": 1}]', "it looks like JSON, but events are read as csv (events.format): "),
        (rows("\t"), JSON, "it looks like JSON, but events are read as tsv (events.format): "),
        (rows(), VW, "it looks like VW text, but events are read as csv (events.format): "),
        (VwText(Labels()), JSON, "it looks like JSON, but events are read as vw (events.format): "),
        (VwText(Labels()), ROW, "it looks like a CSV row, but events are read as vw (events.format): no '|'"),
        (JsonEvent(Labels()), ROW, "not JSON: it looks like a CSV row, but events are read as json (events.format)"),
        (JsonEvent(Labels()), VW, "not JSON: it looks like VW text, but events are read as json (events.format)"),
    ],
)
def test_an_event_of_another_format_is_told_as_such(format_: Format, payload: bytes, said: str) -> None:
    assert reason(format_.decode([payload])).startswith(said)


@pytest.mark.parametrize(
    ("format_", "payload", "said"),
    [
        (rows(), b"1,2", "row has 2 cells"),
        (VwText(Labels()), b"YES |f a", "label: "),
        (JsonEvent(Labels()), b'{"label": ', "not JSON: unexpected end"),
        (JsonEvent(Labels()), b"what?", "not JSON: unexpected character"),
        (JsonEvent(Labels()), b'{"label": "a|b c"}', "features: required"),
    ],
)
def test_a_wrong_event_of_the_right_format_says_what_is_wrong(format_: Format, payload: bytes, said: str) -> None:
    assert reason(format_.decode([payload])).startswith(said)


def test_a_body_of_json_is_no_csv() -> None:
    with pytest.raises(FormatError, match=r"it looks like JSON, but events are read as csv \(events\.format\)"):
        list(rows().split(io.BytesIO(JSON + b"\n" + JSON)))
    (first, *_) = rows().split(io.BytesIO(b'{\n "label": 1,\n "features": {}\n}'))
    assert reason(rows().decode([first])).startswith("it looks like JSON, but events are read as csv (events.format): ")
