"""JSON events that pass through a function of the user's first. Knows not where that function comes from."""

from collections.abc import Callable
from typing import Any

import orjson

from formats.example import Example, FormatError
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.schema import Schema
from formats.vw_text import Reads

Event = dict[str, Any]


class HookedJson(JsonEvent):
    """`JsonEvent` of what `features` makes of each event, those of an envelope one by one.

    Whatever the function raises, or gives that is no JSON event, makes the event dead with that as the reason.
    """

    def __init__(
        self, features: Callable[[Event], Event], labels: Labels, schema: Schema | None = None, reads: Reads = "text"
    ) -> None:
        super().__init__(labels, schema, reads)
        self._made_of = features

    def _example(self, event: Event) -> Example:
        try:
            made = self._made_of(event)
            if not isinstance(made, dict):
                raise FormatError(f"hooks.features: expected a dict back, got {type(made).__name__}")
            orjson.dumps(made, option=orjson.OPT_SERIALIZE_NUMPY)  # raises for names that are no text, and the like
            return super()._example(made)
        except FormatError:
            raise
        except (Exception, SystemExit) as error:
            raise FormatError(f"hooks.features: {type(error).__name__}: {error}") from error
