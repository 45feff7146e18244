"""The grammar and the rows of Vowpal Wabbit's current Python script: `<label> <tag>| name:value name=value`."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn

from tools.csv2vw_parts.columns import LONGEST_KEPT
from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.lines import Chunk, read_chunks
from tools.csv2vw_parts.separator import plain_characters

VALUES_KEPT = 1 << 12
BAD_INPUT_EXIT = 1


class Options(NamedTuple):
    """The command line, understood. Columns count from 0, or from -1 backwards."""

    split: Callable[[str], list[str]]
    label: int | None
    tag: int | None
    ignored: tuple[int, ...]
    has_header: bool
    names_are_numbers: bool
    keeps_zeros: bool
    is_binary: bool
    is_verbose: bool
    files: list[str]


def run(arguments: list[str]) -> Iterator[bytes]:
    """Yield VW text for the last of the files, or standard input.

    Raises ConversionStopped with 2 for wrong arguments, with 1 for a row or a column number that does not fit.
    """
    options = _options(arguments)
    if len(options.files) > 1:
        sys.stderr.write(f"csv2vw: --upstream reads only the last of {len(options.files)} files\n")
    conversion = Conversion(options)
    for chunk in read_chunks(options.files[-1:]):
        yield from conversion.convert(_universal_lines(chunk))
        sys.stdout.flush()


def is_float(value: str) -> bool:
    """Whether Python reads it as a number.

    >>> [is_float(value) for value in ("1_000", " 5", "NaN", "", "5 5")]
    [True, True, True, False, False]
    """
    try:
        float(value)
    except ValueError:
        return False
    return True


class Features(dict[str, str]):
    """Value of a column -> its text in a VW line, which is empty for a value that is left out. Emptied when full."""

    def __init__(self, name: str, keeps_zeros: bool) -> None:
        super().__init__()
        self._name = name
        self._left_out = () if keeps_zeros else ("", "0")

    def __missing__(self, value: str) -> str:
        text = "" if value in self._left_out else f" {self._name}{':' if is_float(value) else '='}{value}"
        if len(self) >= VALUES_KEPT:
            self.clear()
        if len(value) <= LONGEST_KEPT:
            self[value] = text
        return text


class Conversion:
    """The state of a run: columns from the first line, label classes, the line number. `convert` is its only writer."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._line = 0
        self._classes: dict[str, str] = {}
        self._width = 0

    def convert(self, lines: list[str]) -> Iterator[bytes]:
        """Yield the VW lines of these rows, each as soon as it is done. Raises ConversionStopped (1)."""
        if not self._width:
            self._take_columns(self._options.split(lines[0]))
            if self._options.has_header:
                lines = lines[1:]
                self._line = 1
        for line in lines:
            yield self._row(line).encode("utf-8", "surrogateescape")
            self._line += 1

    def _row(self, line: str) -> str:
        fields = self._options.split(line)
        try:
            label = "" if self._label is None else self._label_text(fields[self._label])
            tag = str(self._line) if self._tag is None else fields[self._tag]
            features = [column[fields[index]] for index, column in self._features]
        except IndexError as error:
            message = f"Bad input (expecting {self._width} fields, found {len(fields)}): list index out of range"
            raise ConversionStopped(f"Line {self._line}: [{line}]: {message}", BAD_INPUT_EXIT) from error
        return f"{label} {tag}|{''.join(features)}\n"

    def _label_text(self, value: str) -> str:
        if value == "0" and self._options.is_binary:
            return "-1"
        if not value or is_float(value):
            return value
        return self._classes.setdefault(value, str(len(self._classes) + 1))

    def _take_columns(self, fields: list[str]) -> None:
        options = self._options
        self._width = len(fields)
        self._label = self._index("Label", options.label)
        self._tag = self._index("Id", options.tag)
        dropped = {self._label, self._tag, *(self._index("Ignored", column) for column in options.ignored)}
        named = options.has_header and not options.names_are_numbers
        self._features = [
            (index, Features(field if named else str(index), options.keeps_zeros))
            for index, field in enumerate(fields)
            if index not in dropped
        ]
        if options.is_verbose:
            sys.stderr.write(f"csv2vw: {self._width} columns, label {self._label}, id {self._tag}\n")

    def _index(self, role: str, column: int | None) -> int | None:
        if column is None:
            return None
        index = column if column >= 0 else column + self._width
        if not 0 <= index < self._width:
            message = f"{role} column: colno: {column} -> idx: {index}: out of range [0 .. {self._width - 1}]"
            raise ConversionStopped(message, BAD_INPUT_EXIT)
        return index


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConversionStopped(f"csv2vw: error: {message}; csv2vw --upstream --help lists the options")


def _options(arguments: list[str]) -> Options:
    parsed, operands = _parser().parse_known_args(arguments)
    unknown = [operand for operand in operands if re.fullmatch(r"-(?!-$|[0-9]+$).+", operand)]
    if unknown and "--" not in operands:
        raise ConversionStopped(f"csv2vw: unknown option {unknown[0]!r}; csv2vw --upstream --help lists the options")
    operands = [operand for operand in operands if operand != "--"]
    ignored = [operand for operand in operands if re.fullmatch(r"[+-]?[0-9]+", operand)]
    return Options(
        split=_splitter(parsed.s),
        label=parsed.label,
        tag=parsed.i,
        ignored=tuple(map(int, ignored)),
        has_header=not parsed.H,
        names_are_numbers=parsed.n,
        keeps_zeros=parsed.e,
        is_binary=parsed.b,
        is_verbose=parsed.v,
        files=[operand for operand in operands if operand not in ignored],
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="csv2vw --upstream",
        usage="csv2vw --upstream [OPTION...] [IGNORED_COLUMN...] [FILE]",
        description="Writes one Vowpal Wabbit line per row of FILE or standard input: <label> <id>| name:value ...",
        epilog="IGNORED_COLUMN is left out; columns count from 0, or from -1 backwards. "
        "Text labels become classes 1..k. Example: csv2vw --upstream -l -1 iris.csv | vw --oaa 3",
    )
    parser.add_argument("-v", action="store_true", help="say on standard error which columns were found; default: no")
    parser.add_argument("-s", metavar="REGEX", default=",", help="regular expression between fields; default: ','")
    parser.add_argument("-H", action="store_true", help="the first line is data; default: it names the columns")
    parser.add_argument("-n", action="store_true", help="column numbers as names; default: only without a header")
    parser.add_argument("-e", action="store_true", help="keep features that are empty or 0; default: leave them out")
    parser.add_argument("-b", action="store_true", help="write the label 0 as -1; default: as it is")
    parser.add_argument("-i", metavar="COLUMN", type=int, help="column of the example's id; default: the line's number")
    label = ("-l", "-L", "--label", "--labelcol")
    parser.add_argument(*label, dest="label", metavar="COLUMN", type=int, help="column of the label; default: none")
    return parser


def _splitter(separator: str) -> Callable[[str], list[str]]:
    plain = plain_characters(separator)
    if len(plain) == 1:
        return lambda line: line.split(plain)
    try:
        split_at = re.compile(separator)
    except re.error as error:
        raise ConversionStopped(f"csv2vw: -s: {separator!r} is not a regular expression: {error}") from error
    return lambda line: [field or "" for field in split_at.split(line)]


def _universal_lines(chunk: Chunk) -> list[str]:
    """The lines as Python's text files give them: UTF-8, and ended by CR LF or a lone CR as well."""
    text = chunk.text.encode("latin-1").decode("utf-8", "surrogateescape")
    return text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
