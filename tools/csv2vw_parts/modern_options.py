"""The long options of csv2vw: what they are, what they mean together, and what contradicts itself."""

import argparse
import codecs
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from formats.example import FormatError
from formats.numbers import number_text
from tools.csv2vw_parts.errors import ConversionStopped

MISSING = ("drop", "keep", "indicate")
CONTRADICT_SCHEMA = (
    "label", "id", "weight", "namespace", "ignore", "labels", "binary", "label_map", "separator", "quotes",
    "no_quotes", "encoding", "missing_value", "missing",
)  # fmt: skip
"""Everything that the schema of a configuration says itself."""


class Options(NamedTuple):
    """The command line, understood. Columns are meant by name, or by number where there is no header."""

    label: str | None
    id: str | None
    weight: str | None
    namespaces: dict[str, list[str]]
    ignored: list[str]
    label_names: dict[str, float]
    is_binary: bool
    label_map: str | None
    separator: str | None
    has_quotes: bool | None
    """None where the separator decides."""
    encoding: str
    has_header: bool
    missing_values: frozenset[str]
    missing: str
    schema: str | None
    is_json: bool
    skips_bad: bool
    is_verbose: bool
    files: list[str]


def parsed(arguments: Sequence[str]) -> Options:
    """The options. Raises ConversionStopped (2) for what is unknown, malformed or contradicts itself."""
    found = parser().parse_intermixed_args(arguments)
    if found.exact:
        raise ConversionStopped("csv2vw: --exact means the scripts' own rules, and they know none of the other options")
    _check(found)
    return Options(
        label=found.label,
        id=found.id,
        weight=found.weight,
        namespaces=_namespaces(found.namespace or []),
        ignored=_names(found.ignore or []),
        label_names=_label_names(found.labels or []),
        is_binary=found.binary,
        label_map=found.label_map,
        separator=None if found.separator is None else _separator(found.separator),
        has_quotes=found.quotes if found.quotes or found.no_quotes else None,
        encoding=_encoding(found.encoding or "utf-8"),
        has_header=not found.no_header,
        missing_values=frozenset(["", *(found.missing_value or [])]),
        missing=found.missing or MISSING[0],
        schema=found.schema,
        is_json=found.json,
        skips_bad=found.skip_bad,
        is_verbose=found.verbose,
        files=found.files,
    )


def _check(found: argparse.Namespace) -> None:
    given = [name for name in CONTRADICT_SCHEMA if getattr(found, name)]
    if found.schema is not None and given:
        option = "--" + given[0].replace("_", "-")
        raise ConversionStopped(f"csv2vw: {option} and --schema contradict each other: the schema's file says that")
    if found.quotes and found.no_quotes:
        raise ConversionStopped("csv2vw: --quotes and --no-quotes contradict each other; give one of them")
    if found.labels and (found.binary or found.label_map):
        other = "--binary" if found.binary else "--label-map"
        raise ConversionStopped(f"csv2vw: --labels and {other} contradict each other; give one of them")


def _names(texts: Sequence[str]) -> list[str]:
    return [name for text in texts for name in text.split(",")]


def _namespaces(texts: Sequence[str]) -> dict[str, list[str]]:
    homes: dict[str, list[str]] = {}
    for text in texts:
        name, equals, columns = text.partition("=")
        if not name or not equals or not columns:
            raise ConversionStopped(f"csv2vw: --namespace {text!r}: expected NAME=COLUMN,COLUMN...")
        homes.setdefault(name, []).extend(_names([columns]))
    return homes


def _label_names(texts: Sequence[str]) -> dict[str, float]:
    names: dict[str, float] = {}
    for text in _names(texts):
        name, equals, value = text.rpartition("=")
        try:
            if not equals:
                raise FormatError("no '='")
            names[name] = number_text(value, "label")
        except FormatError as error:
            raise ConversionStopped(f"csv2vw: --labels {text!r}: expected TEXT=NUMBER,TEXT=NUMBER...") from error
    return names


def _separator(text: str) -> str:
    character = "\t" if text in ("tab", r"\t") else text
    if len(character) != 1 or character in '"\r\n':
        raise ConversionStopped(f"csv2vw: --separator {text!r}: expected one character, or tab")
    return character


def _encoding(name: str) -> str:
    try:
        found = codecs.lookup(name)
        "".encode(name)
    except LookupError as error:
        raise ConversionStopped(f"csv2vw: --encoding {name!r} is no known encoding of text") from error
    return "utf-8" if found.name == "utf-8-sig" else found.name


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConversionStopped(f"csv2vw: {message}; csv2vw --help lists the options")


def parser() -> argparse.ArgumentParser:
    """The long options, with the help text of each."""
    made = _Parser(prog="csv2vw", add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS, formatter_class=_wide)
    for title, options in _GROUPS.items():
        group = made.add_argument_group(title)
        for name, (metavar, says) in options.items():
            kinds: dict[str, Any] = {"metavar": metavar} if metavar else {"action": "store_true"}
            if name in _REPEATED:
                kinds["action"] = "append"
            if name == "--missing":
                kinds["choices"] = MISSING
            group.add_argument(name, help=says, **kinds)
    made.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("-h", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    return made


def _wide(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=26, width=118)


_REPEATED = ("--namespace", "--ignore", "--labels", "--missing-value")
_GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "columns, by name, or by number where there is no header": {
        "--modern": ("", "this reader: columns by the header, quoting, escaping; any other long option implies it"),
        "--label": ("NAME", "the label's column; default: _label where there is one, else no label"),
        "--id": ("NAME", "becomes the tag; default: _tag where there is one, else no tag"),
        "--weight": ("NAME", "becomes the importance weight; default: _weight where there is one, else 1"),
        "--namespace": ("NS=COL,...", "these columns' namespace; may be repeated; default: the nameless one"),
        "--ignore": ("COL,...", "columns to leave out; may be repeated; default: none"),
    },
    "labels: numbers stay as they are, texts become classes 1..k in order of appearance": {
        "--labels": ("TEXT=NUM,...", "these labels and no others: --labels YES=1,NO=-1; default: any"),
        "--binary": ("", "the two labels there are become -1 (the smaller) and 1"),
        "--label-map": ("FILE", "keep the numbers of text labels in this JSON file, for later runs; default: nowhere"),
    },
    "input: gzip and Zstandard unpacked, - for standard input": {
        "--separator": ("CHAR", "between cells; tab for a tabulator; default: tab for .tsv and .tab, else ,"),
        "--quotes": ("", "cells are quoted as in RFC 4180; default: yes, but not where a tab stands between cells"),
        "--no-quotes": ("", "quotes are text like any other; default: only where a tab stands between cells"),
        "--encoding": ("NAME", "of the bytes; default: utf-8"),
        "--no-header": ("", "the first row is data, columns are 0, 1, ...; default: it names the columns"),
        "--missing-value": ("TEXT", "this cell means no value; may be repeated; default: the empty cell, nan, inf"),
        "--missing": ("MODE", "drop (default): nothing; keep: name=; indicate: name_missing:1"),
        "--skip-bad": ("", "pass over bad rows and count them; default: end at the first with exit code 1"),
    },
    "output": {
        "--json": ("", "Weir's JSON events; default: VW lines"),
        "--schema": ("weir.toml", "what weir train would learn from with these settings; default: no schema"),
        "--exact": ("", "the scripts' rules to the last: only with their own options; default: wrong use is an error"),
    },
}
