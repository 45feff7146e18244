"""Runs one function of this package in a process of its own: `python -m tools.bench.child MODULE:FUNCTION ARGUMENTS`.

The arguments are a JSON object of strings and numbers; what the function returns is printed as the last line, as JSON.
"""

import importlib
import sys

import click
import orjson


def main() -> None:
    """Entry point."""
    module, _, function = sys.argv[1].partition(":")
    measure = getattr(importlib.import_module(f"tools.bench.{module}"), function)
    tell(measure(**orjson.loads(sys.argv[2])))


def tell(value: object) -> None:
    """One line of JSON to the process that waits for it."""
    click.echo(orjson.dumps(value))


if __name__ == "__main__":
    main()
