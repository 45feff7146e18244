"""How events of a service are written: what a person needs to take one apart, and to change one value of it."""

import msgspec

from formats.csv_row import CsvRow
from formats.format import Format
from stream_app.settings import Settings

_OWN = "\0"
"""Stands for the namespace that a field has in its event."""


class Home(msgspec.Struct, frozen=True):
    """What a field becomes: a feature of this name, in the namespace that it has in its event where that is None."""

    namespace: str | None
    name: str


class EventForm(msgspec.Struct, frozen=True, kw_only=True):
    """`columns`, `separator` and `quoting` are of rows, and empty, None and False for what is no row.

    `homes` has each field that the schema names, None for one that is no feature; whether any other field is one
    says `has_others`. `label` and `id` name those of flat records; `labels` maps what labels say to what is learnt.
    """

    format: str
    columns: list[str]
    separator: str | None
    quoting: bool
    encoding: str
    label: str | None
    id: str | None
    labels: dict[str, float]
    homes: dict[str, Home | None]
    has_others: bool


def event_form(settings: Settings, format_: Format) -> EventForm:
    """The form of the events that `format_`, built of these settings, reads."""
    schema = settings.schema
    roles = [name for name in (schema.label, schema.weight, schema.id, schema.time) if name is not None]
    listed = [name for names in schema.namespaces.values() for name in names]
    rows = format_.read_by if isinstance(format_, CsvRow) else {}
    homes = {name: schema.home(name, _OWN) for name in (*schema.fields, *schema.drop, *roles, *listed)}
    return msgspec.convert(
        {
            "format": settings.events.format,
            "columns": [],
            "separator": None,
            "quoting": False,
            "encoding": settings.events.encoding,
            **rows,
            "label": schema.label,
            "id": schema.id,
            "labels": schema.labels,
            "homes": {name: None if home is None else _named(home) for name, home in homes.items()},
            "has_others": not (schema.namespaces and schema.unlisted == "drop"),
        },
        EventForm,
    )


def _named(home: tuple[str, str]) -> Home:
    namespace, name = home
    return Home(None if namespace == _OWN else namespace, name)
