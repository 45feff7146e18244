"""How ids, times, names and bars stand in the cells of tables."""

from datetime import UTC, datetime

from rich.table import Table

BAR_CELLS = 20

TAKEN = "taken (UTC)"
"""Head of a column of moments."""


def short_id(model_id: str) -> str:
    """As many hex digits as commands need and a line of a listing has room for.

    >>> short_id("sha256.0123456789abcdef"), short_id("live")
    ('0123456789ab', 'live')
    """
    return model_id.removeprefix("sha256.")[:12]


def taken(time_s: float) -> str:
    """A moment of the last months, UTC, which the head of its column says.

    >>> taken(1795641955.5)
    '11-25 21:25:55'
    """
    return datetime.fromtimestamp(time_s, UTC).strftime("%m-%d %H:%M:%S")


def readable(name: str) -> str:
    """A name as it can be printed: bytes that are no UTF-8 are replaced, and nothing in it is markup of a table."""
    return name.encode(errors="surrogateescape").decode(errors="replace").replace("[", r"\[")


def bar(value: float, widest: float) -> str:
    """A bar of up to 20 cells, as long as the value is beside the widest one; a sign tells which way it points.

    >>> bar(-0.5, 1.0), bar(1.0, 10.0), bar(0.0, 0.0)
    ('-▇▇▇▇▇▇▇▇▇▇', '+▇▇', '')
    """
    cells = round(BAR_CELLS * min(1.0, abs(value) / widest)) if widest else 0
    return ("+" if value > 0 else "-") + "▇" * cells if cells else ""


def columns(*titles: str) -> Table:
    """A table without lines, in which long names are folded, not cut."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
