"""`python -m tools.bench.value`: what counting the value costs an event, and what its figures and the curves cost."""

import timeit
from collections.abc import Callable

import click
import numpy as np

from stream_app import config
from stream_app.money import money_of
from stream_app.progressive import Progressive
from stream_app.value import Value

ROWS = 128
EVENTS_PER_S = 75_000
"""What a service learns of JSON, about; see docs/benchmarks.md."""

CELLS = {("0", "0"): 700.0, ("0", "1"): -500.0, ("1", "0"): -100.0, ("1", "1"): 700.0}


def main() -> None:
    """Medians would tell of the machine's other work: the least of five is printed."""
    cells = [{"actual": actual, "predicted": predicted, "value": each} for (actual, predicted), each in CELLS.items()]
    money = money_of(config.of({"value": {"cells": cells}}))
    if money is None:
        return
    value, progressive = Value(money), Progressive("binary")
    chance = np.random.default_rng(0)
    probabilities, weights = chance.random(ROWS), np.ones(ROWS)
    labels = np.where(chance.random(ROWS) < probabilities, 1.0, -1.0)
    per_batch = _least_s(lambda: value.update(labels, probabilities), 8_000)
    others = _least_s(lambda: progressive.update(labels, probabilities, probabilities, weights, weights), 8_000)
    share = per_batch / ROWS * EVENTS_PER_S
    click.echo(f"update: {per_batch / ROWS * 1e9:.0f} ns an event, {share:.2%} of learning {EVENTS_PER_S:,} a second")
    click.echo(f"progressive, for comparison: {others / ROWS * 1e9:.0f} ns an event")
    calls: dict[str, Callable[[], object]] = {
        "GET /value": value.report,
        "value in /status": value.brief,
        "state of a checkpoint": value.state,
        "GET /progress/curves": progressive.curves,
    }
    for name, call in calls.items():
        click.echo(f"{name}: {_least_s(call, 200) * 1e3:.2f} ms")


def _least_s(call: Callable[[], object], times: int) -> float:
    return min(timeit.repeat(call, number=times, repeat=5)) / times


if __name__ == "__main__":
    main()
