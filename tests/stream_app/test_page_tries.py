"""Trying an event on the page, in a real Chromium: each raw field of any format can be changed, and what was stays."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browser import PICTURES, Watched, chromium
from playwright.sync_api import Browser, expect
from weir_process import Weir, closing, synthetic

SCHEMA = {"label": "late", "namespaces": {"f": ["carrier", "origin", "hour"]}}
COLUMNS = ["late", "carrier", "origin", "hour", "n"]
EVENTS = [json.loads(event) for event in synthetic(300)]
ROWS = [
    {"late": event["label"], **event["features"]["f"], "n": event["features"]["n"]}
    for event in EVENTS
    if "," not in event["features"]["f"]["origin"]
]


class Form(NamedTuple):
    """How events are written, and what is typed: an event, and the same with another carrier."""

    settings: Mapping[str, Mapping[str, object]]
    events: list[str]
    typed: str
    changed: str
    others: set[str]
    """Rows of the table that are no feature of the event."""


def line(row: Mapping[str, Any], carrier: str | None = None) -> str:
    hour, origin = row["hour"], row["origin"]
    return f"{2 * row['late'] - 1} |f carrier={carrier or row['carrier']} origin={origin} hour:{hour} |g n:{row['n']}"


def cells(row: Mapping[str, Any], separator: str = ",", carrier: str | None = None) -> str:
    return separator.join(str(carrier or row[name]) if name == "carrier" else str(row[name]) for name in COLUMNS)


def rows_of(name: str, separator: str) -> Form:
    events = [cells(row, separator) for row in ROWS]
    settings = {"events": {"format": name, "columns": COLUMNS}, "schema": SCHEMA}
    return Form(settings, events, events[0], cells(ROWS[0], separator, "Z"), {"Constant", "late"})


HEAD = ",".join(COLUMNS)
CSV = rows_of("csv", ",")
FORMS = {
    "flat JSON": Form(
        {"schema": SCHEMA},
        [json.dumps(row) for row in ROWS],
        json.dumps(ROWS[0]),
        json.dumps(ROWS[0] | {"carrier": "Z"}),
        {"Constant", "late"},
    ),
    "CSV": CSV,
    "CSV with its header": CSV._replace(typed=f"{HEAD}\n{CSV.typed}", changed=f"{HEAD}\n{CSV.changed}"),
    "TSV": rows_of("tsv", "\t"),
    "VW text": Form(
        {"events": {"format": "vw"}}, list(map(line, ROWS)), line(ROWS[0]), line(ROWS[0], "Z"), {"Constant"}
    ),
}
PLACE = "one => [one.value, one.getBoundingClientRect().left, one.getBoundingClientRect().right]"
FEATURES = {"f^carrier", "f^origin", "f^hour"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def figures(answer: Mapping[str, Any]) -> dict[str, str]:
    return {one["field"]: f"{one['contribution']:.4f}" for one in answer["fields"]}


def column(watched: Watched, number: int) -> dict[str, str]:
    """Of the table: by field, the text of a column."""
    return {row[0]: row[number] for row in watched.rows("#try-fields")}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_each_raw_field_can_be_changed_and_what_was_stays_beside_it(
    form: Form, browser: Browser, tmp_path: Path
) -> None:
    service = Weir(tmp_path, **form.settings)
    with closing(service):
        assert service.start().post("/events", "\n".join(form.events).encode()).status == 202
        service.wait_learnt(len(form.events))
        service.checkpoint()
        watched = Watched(browser, service)
        watched.page.locator("#try-event").fill(form.typed)
        watched.page.locator("#try button[type=submit]").click()
        watched.page.locator("#try-fields tbody tr").first.wait_for()
        was = service.post("/predict?explain=1&keep=0", form.typed.encode()).body
        order, values = list(column(watched, 0)), column(watched, 1)
        assert set(order) > FEATURES | form.others
        assert {name: told for name, told in column(watched, 3).items() if name in FEATURES} == {
            name: told for name, told in figures(was).items() if name in FEATURES
        }
        inputs = watched.page.locator("#try-fields input")
        assert inputs.count() == len(order) - 1, "all but the constant"
        what_if = watched.page.get_by_label("f^carrier, another value")
        what_if.fill("Z")
        what_if.press("Enter")
        now = service.post("/predict?explain=1&keep=0", form.changed.encode()).body
        said = f"{now['prediction']:.4g} by {now['model']}, with what you changed; it was {was['prediction']:.4g}"
        expect(watched.page.locator("#try-answer")).to_have_text(said)
        assert (list(column(watched, 0)), column(watched, 1)) == (order, values)
        assert column(watched, 3)["f^carrier"] == figures(was)["f^carrier"]
        assert column(watched, 4)["f^carrier"] == figures(now).get("f^carrier", "0.0000")
        expect(what_if).to_be_focused()
        watched.page.get_by_role("button", name="As it was").click()
        expect(watched.page.locator("#try-answer")).to_have_text(f"{was['prediction']:.4g} by {was['model']}")
        expect(watched.page.locator("#try-event")).to_have_value(form.typed)
        expect(what_if).to_have_value(values["f^carrier"])
        watched.close()
        assert service.stop() == 0


def test_values_typed_into_rows_and_lines_stay_one_value(browser: Browser, tmp_path: Path) -> None:
    form = {"events": {"format": "csv", "columns": COLUMNS}, "schema": SCHEMA}
    service = Weir(tmp_path, **form)
    with closing(service):
        service.start().post("/events", "\n".join(CSV.events).encode())
        service.wait_learnt(len(CSV.events))
        service.checkpoint()
        watched = Watched(browser, service)
        watched.page.locator("#try-event").fill('1,"A ""b"", c",O1,7,3')
        watched.page.locator("#try button[type=submit]").click()
        carrier = watched.page.get_by_label("f^carrier, another value")
        expect(carrier).to_have_value('A "b", c')
        carrier.fill('B, "c"')
        carrier.press("Enter")
        expect(watched.page.locator("#try-event")).to_have_value('1,"B, ""c""",O1,7,3')
        expect(watched.page.locator("#try-answer")).to_contain_text("with what you changed")
        script = """async () => {
          const { taken } = await import('/assets/raw_fields.js');
          const { fields, written } = taken("1 'tag|f a=b%20c:2 d e:3 d| g:1", { format: 'vw' });
          const changed = written(new Map([[0, 'x y|z'], [2, '4'], [4, '5']]));
          return [fields.map((one) => `${one.field} ${one.value}`), changed];
        }"""
        found = watched.page.evaluate(script)
        assert found == [["f^a b%20c", "f^d d", "f^e 3", "f^d d", "g 1"], "1 'tag|f a=x%20y%7Cz:2 d e:4 d| g:5"]
        watched.close()
        assert service.stop() == 0


def test_fields_are_named_as_the_schema_makes_features_of_them(browser: Browser, tmp_path: Path) -> None:
    schema = {
        "label": "late",
        "drop": ["tail"],
        "namespaces": {"f": ["km"]},
        "fields": {"km": {"rename": "distance"}, "n": {"rename": "m"}, "delay": {"available_at": "label"}},
    }
    service = Weir(tmp_path, schema=schema)
    with closing(service):
        service.start().checkpoint()
        watched = Watched(browser, service)
        form = service.get("/watch").body["events"]
        script = """async ([events, form]) => {
          const { taken } = await import('/assets/raw_fields.js');
          const named = (event) => taken(JSON.stringify(event), form).fields.map(({ name, field }) => [name, field]);
          return events.map(named);
        }"""
        flat = {"late": 1, "tail": "x", "km": 3, "n": 4, "delay": 5, "other": 6}
        nested = {"features": {"g": {"km": 3, "n": 4, "tail": "x"}, "other": 6}}
        assert watched.page.evaluate(script, [[flat, nested], form]) == [
            [
                ["late", None],
                ["tail", None],
                ["km", "f^distance"],
                ["n", "m"],
                ["delay", None],
                ["other", "other"],
            ],
            [["km", "f^distance"], ["n", "g^m"], ["tail", None], ["other", "other"]],
        ]
        watched.close()
        assert service.stop() == 0


def test_contributions_go_left_and_right_of_one_zero_line_by_one_scale(browser: Browser, tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with closing(service):
        service.start().learn(synthetic(300))
        watched = Watched(browser, service, 390)
        watched.page.locator("#try-last").click()
        watched.page.locator("#try-fields tbody tr").first.wait_for()
        carrier = watched.page.get_by_label("f^carrier, another value")
        carrier.fill("A" if carrier.input_value() not in "AB" else "F")
        carrier.press("Enter")
        expect(watched.page.locator("#try-answer")).to_contain_text("with what you changed")
        rows = {row[0]: row[3:5] for row in watched.rows("#try-fields")}
        longest = max(abs(float(one)) for pair in rows.values() for one in pair)
        zeros = set()
        for line in watched.page.locator("#try-fields tbody tr").all():
            figures = rows[line.locator("th").inner_text()]
            for told, bar in zip(figures, line.locator(".balance").all(), strict=True):
                below, above = (
                    meter.evaluate(
                        "one => [one.value, ...[one.getBoundingClientRect()].flatMap(b => [b.left, b.right])]"
                    )
                    for meter in bar.locator("meter").all()
                )
                zeros |= {round(below[2], 1), round(above[1], 1)}
                assert above[0] - below[0] == pytest.approx(float(told) / longest, abs=1e-3)
                assert min(above[0], below[0]) == 0
        assert len(zeros) == 1
        PICTURES.mkdir(parents=True, exist_ok=True)
        watched.page.locator("section:has(#try)").screenshot(path=PICTURES / "try-390.png")
        watched.page.set_viewport_size({"width": 1280, "height": 900})
        watched.page.locator("section:has(#try)").screenshot(path=PICTURES / "try-1280.png")
        watched.close()
        assert service.stop() == 0
