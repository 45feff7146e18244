"""What a run gave: as a table for people, as JSON for programs."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tools.bench.row import Figure, Measured, Row

Results = Sequence[tuple[Row, Measured]]
WIDTH = 160


def as_json(results: Results, about: dict[str, object]) -> dict[str, object]:
    """One object: what was measured on what, and one object per row."""
    return {**about, "rows": [_row(row, measured) for row, measured in results]}


def print_table(results: Results, about: dict[str, object]) -> None:
    """On standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    table = Table(title=f"Stream: {about['stream']}", caption=_caption(about))
    for heading in ("work", "against"):
        table.add_column(heading, overflow="fold")
    for heading in ("ours", "reference", "result", "target", ""):
        table.add_column(heading, justify="right")
    for row, measured in results:
        target = "" if row.target is None else f"{row.bound} {_number(row.target)} {row.unit}"
        result = f"{_number(measured.result)} {row.unit}"
        table.add_row(
            row.work, row.against, _shown(measured.ours), _shown(measured.reference), result, target,
            _verdict(row, measured.result),
        )  # fmt: skip
    console.print(table)


def _row(row: Row, measured: Measured) -> dict[str, object]:
    return {
        "name": row.name,
        "work": row.work,
        "against": row.against,
        "ours": measured.ours,
        "reference": measured.reference,
        "result": measured.result,
        "unit": row.unit,
        "bound": row.bound,
        "target": row.target,
        "is_met": row.is_met(measured.result),
        "missed_by": row.missed_by(measured.result),
        "notes": measured.notes,
    }


def _verdict(row: Row, result: float) -> str:
    if row.target is None:
        return "informs"
    return "met" if row.is_met(result) else f"missed by {100.0 * row.missed_by(result):.0f} %"


def _shown(figure: Figure) -> str:
    return f"{_number(figure.shown)} {figure.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _caption(about: dict[str, object]) -> str:
    machine = about["machine"]
    parts = [f"{machine['cpu']}, {machine['cores']} cores"] if isinstance(machine, dict) else []
    return ", ".join([*parts, "best of several, by turns", f"{about['seconds']} s"])
