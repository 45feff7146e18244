"""The grammar and the rows of Vowpal Wabbit's current Python script: `<label> <tag>| name:value name=value`."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import NoReturn

from tools.csv2vw_parts.columns import LONGEST_KEPT
from tools.csv2vw_parts.errors import ConversionStopped

VALUES_KEPT = 1 << 12
BAD_INPUT_EXIT = 1
STDIN = "-"

Fields = Sequence[str | None]
"""The fields of a line: None where the separator is an expression with a group that matched nothing."""


def run(arguments: list[str], is_exact: bool) -> Iterator[bytes]:
    """Yield VW text for the last of the files, or standard input.

    Raises ConversionStopped with 2 for wrong arguments, with 1 for a row, a byte or a column number that does not fit.
    With `is_exact` wrong use is 1 where the script had it so, and standard input is refused, as the script fails on it.
    """
    options, operands = _parser().parse_known_args(arguments)
    wrong_use = 1 if is_exact else 2
    files, ignored = _operands([operand for operand in operands if operand != "--"], wrong_use)
    try:
        split_at = re.compile(options.s)
    except re.error as error:
        message = f"csv2vw: -s: {options.s!r} is not a regular expression: {error}"
        raise ConversionStopped(message, wrong_use) from error
    if is_exact and files[-1:] in ([], [STDIN]):
        raise ConversionStopped("csv2vw: --exact: the Python script reads no standard input; name a FILE", 1)
    if len(files) > 1:
        sys.stderr.write(f"csv2vw: --upstream reads only the last of {len(files)} files\n")
    with _opened(files[-1] if files else STDIN, wrong_use) as stream:
        options.input_file = stream
        if options.v:
            _say(f"args={options}\nother_args={operands}\nignore_cols={ignored}")
        yield from Conversion(options, ignored, split_at).convert(stream)


def is_float(value: str | None) -> bool:
    """Whether Python reads it as a number. Raises TypeError for None, as `float` does.

    >>> [is_float(value) for value in ("1_000", " 5", "NaN", "", "5 5")]
    [True, True, True, False, False]
    """
    try:
        float(value)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


class Features(dict[str | None, str]):
    """Value of a column -> its text in a VW line, which is empty for a value that is left out. Emptied when full."""

    def __init__(self, name: str, leaves_out_zeros: bool) -> None:
        super().__init__()
        self._name = name
        self._left_out = ("", None, "0") if leaves_out_zeros else ()

    def __missing__(self, value: str | None) -> str:
        text = "" if value in self._left_out else f" {self._name}{':' if is_float(value) else '='}{value}"
        if len(self) >= VALUES_KEPT:
            self.clear()
        if value is None or len(value) <= LONGEST_KEPT:
            self[value] = text
        return text


class Conversion:
    """The state of a run: columns from the first line, label classes, the line number. `convert` is its only writer."""

    def __init__(self, options: argparse.Namespace, ignored: list[int], split_at: re.Pattern[str]) -> None:
        self._options = options
        self._ignored = ignored
        self._split_at = split_at
        self._classes: dict[str, str] = {}
        self._width = 0

    def convert(self, stream: TextIOWrapper) -> Iterator[bytes]:
        """Yield the VW lines of these rows, each as soon as it is done. Raises ConversionStopped (1)."""
        number = -1
        try:
            for number, raw in enumerate(stream):
                line = raw.rstrip("\r\n")
                fields = self._split_at.split(line)
                if self._options.v:
                    _say(f"f: {fields}")
                if number == 0:
                    self._take_columns(fields)
                if number or not self._options.header:
                    yield self._row(number, line, fields).encode()
        except UnicodeDecodeError as error:
            where = f"{stream.name}: after line {number}: not UTF-8: {error.object[error.start : error.start + 8]!r}"
            advice = "csv2vw --label NAME --encoding iso-8859-1 FILE reads other encodings"
            raise ConversionStopped(f"csv2vw: {where}; {advice}", BAD_INPUT_EXIT) from error

    def _row(self, number: int, line: str, fields: Fields) -> str:
        try:
            label = "" if self._options.l is None else self._label_text(fields[self._options.l])
            tag = number if self._options.i is None else fields[self._options.i]
            features = [column[fields[index]] for index, column in self._features]
        except (IndexError, TypeError) as error:
            message = f"Bad input (expecting {self._width} fields, found {len(fields)}): {error}"
            raise ConversionStopped(f"Line {number}: [{line}]: {message}", BAD_INPUT_EXIT) from error
        return f"{label} {tag}|{''.join(features)}\n"

    def _label_text(self, value: str | None) -> str:
        if value == "0" and self._options.b:
            return "-1"
        if value == "" or is_float(value):
            return str(value)
        return self._classes.setdefault(str(value), str(len(self._classes) + 1))

    def _take_columns(self, fields: Fields) -> None:
        options, last = self._options, len(fields) - 1
        self._width = last + 1
        self._tell(f"line 0: last_idx={last} feature_idxs={list(range(last + 1))}")
        options.l = self._index("Label", options.l)
        options.i = self._index("Id", options.i)
        removed = [column for column in (options.l, options.i) if column is not None]
        removed += [column for number in self._ignored if (column := self._index("Ignore", number)) is not None]
        names = list(fields) if options.header and not options.n else list(range(last + 1))
        indexes = [index for index in range(last + 1) if index not in removed]
        self._features = [(index, Features(str(names[index]), options.e)) for index in indexes]
        self._tell(f"args.l: {options.l}\nargs.i: {options.i}\nignore_cols: {self._ignored}\nremove_idxs: {removed}")
        self._tell(f"feature_names: {names}\nsubset: feature_idxs: {indexes}")

    def _index(self, role: str, column: int | None) -> int | None:
        if column is None:
            return None
        index = column if column >= 0 else column + self._width
        if not 0 <= index < self._width:
            message = f"{role} column: colno: {column} -> idx: {index}: out of range [0 .. {self._width - 1}]"
            raise ConversionStopped(message, BAD_INPUT_EXIT)
        return index

    def _tell(self, text: str) -> None:
        if self._options.v:
            _say(text)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _operands(operands: list[str], wrong_use: int) -> tuple[list[str], list[int]]:
    """Files and columns to ignore: what is there is a file, also where its name is a number."""
    files, ignored = [], []
    for operand in operands:
        if operand == STDIN or os.path.exists(operand):  # noqa: PTH110
            files.append(operand)
        elif re.fullmatch(r"[+-]?[0-9]+", operand):
            ignored.append(int(operand))
        elif operand.startswith("-"):
            message = f"csv2vw: unknown option {operand!r}; csv2vw --upstream --help lists the options"
            raise ConversionStopped(message, wrong_use)
        else:
            raise ConversionStopped(f"csv2vw: cannot read {operand!r}: No such file or directory", wrong_use)
    return files, ignored


def _opened(path: str, wrong_use: int) -> TextIOWrapper:
    try:
        if path == STDIN:
            return open(sys.stdin.fileno(), encoding="UTF-8", closefd=False)
        return open(path, encoding="UTF-8")  # noqa: PTH123
    except OSError as error:
        raise ConversionStopped(f"csv2vw: cannot read {path!r}: {error.strerror}", wrong_use) from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConversionStopped(f"csv2vw: error: {message}; csv2vw --upstream --help lists the options")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="csv2vw --upstream",
        usage="csv2vw --upstream [OPTION...] [IGNORED_COLUMN...] [FILE]",
        description="Writes one Vowpal Wabbit line per row of FILE or standard input: <label> <id>| name:value ...",
        epilog="IGNORED_COLUMN is left out; columns count from 0, or from -1 backwards. "
        "Text labels become classes 1..k. Example: csv2vw --upstream -l -1 iris.csv | vw --oaa 3",
    )

    def add(*names: str, dest: str, default: object = False, action: str = "store_true", says: str) -> None:
        parser.add_argument(*names, dest=dest, action=action, default=default, help=says)

    def add_column(*names: str, dest: str, says: str) -> None:
        parser.add_argument(*names, dest=dest, metavar="COLUMN", type=int, help=says)

    add("-v", "--verbose", dest="v", says="say on standard error what is read; default: no")
    separator = "regular expression between fields; default: ','"
    parser.add_argument("-s", "--sep", "--separator", dest="s", metavar="REGEX", default=",", help=separator)
    header = "the first line is data; default: it names the columns"
    add("-H", "--hdr", "--header", dest="header", default=True, action="store_false", says=header)
    keeps = "keep features that are empty or 0; default: leave them out"
    add("-e", "--empty", dest="e", default=True, action="store_false", says=keeps)
    add("-n", "--num", "--numeric", dest="n", says="column numbers as names; default: only without a header")
    add("-b", "--binary", dest="b", says="write the label 0 as -1; default: as it is")
    add_column("-i", "--id", "--idcol", dest="i", says="column of the example's id; default: the line's number")
    add_column("-l", "-L", "--label", "--labelcol", dest="l", says="column of the label; default: none")
    return parser
