"""What Vowpal Wabbit says, on its way to whoever listens. Knows none of its words but one."""

from collections.abc import Callable

import pylibvw

Console = Callable[[str], None]
"""Takes what VW itself would print: its header, progressive table, warnings and summary, in pieces of any size."""


class VWLog:
    """What VW says: passed on to a console if there is one, else forgotten but for what must be known."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self.nan_predictions = 0
        self.binding = pylibvw.vw_log(self)

    def log(self, message: str) -> None:
        """Called by the binding, for all of VW's channels."""
        if "NAN prediction" in message:
            self.nan_predictions += 1
        if self._console is not None:
            self._console(message)
