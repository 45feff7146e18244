"""What is told of how events are written: columns and quotes as the format reads them, and what fields become."""

from stream_app import config
from stream_app.event_form import EventForm, Home, event_form
from stream_app.wiring import build_format, build_learner


def form(**sections: object) -> EventForm:
    settings = config.of(sections)
    return event_form(settings, build_format(settings, build_learner(settings).traits))


def test_rows_are_told_as_their_format_reads_them() -> None:
    told = form(events={"format": "tsv", "columns": ["late", "km"]}, schema={"label": "late"})
    assert (told.columns, told.separator, told.quoting) == (["late", "km"], "\t", False)
    told = form(events={"format": "csv", "columns": ["late", "km"]}, schema={"label": "late"})
    assert (told.separator, told.quoting) == (",", True)


def test_what_is_no_row_has_no_columns() -> None:
    told = form(events={"format": "vw"})
    assert (told.columns, told.separator, told.quoting, told.has_others) == ([], None, False, True)


def test_fields_are_told_by_what_the_schema_makes_of_them() -> None:
    fields = {"km": {"rename": "distance"}, "n": {"rename": "m"}, "delay": {"available_at": "label"}}
    told = form(schema={"label": "late", "drop": ["tail"], "fields": fields, "namespaces": {"f": ["km"]}})
    assert told.homes == {
        "km": Home("f", "distance"),
        "n": Home(None, "m"),
        "delay": None,
        "tail": None,
        "late": None,
    }
    assert told.has_others


def test_with_unlisted_dropped_no_other_field_is_a_feature() -> None:
    told = form(schema={"label": "late", "unlisted": "drop", "namespaces": {"f": ["km"]}})
    assert (told.homes, told.has_others) == ({"late": None, "km": Home("f", "km")}, False)
