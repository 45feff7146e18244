"""The command line of the Perl script. Knows which options there are, not what becomes of rows."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator

from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.lines import STDIN, Chunk, check_paths, read_chunks
from tools.csv2vw_parts.perl import Conversion
from tools.csv2vw_parts.separator import Separator

DEFAULT_SEPARATOR = r"[,\t]"
_NAMESPACED = re.compile(r"[A-Za-z_][\w .-]*\|[A-Za-z_][^|]*", re.ASCII)


def run(arguments: list[str], is_exact: bool) -> Iterator[bytes]:
    """Yield VW text for the files, or standard input. Raises ConversionStopped with the exit code.

    With `is_exact`, options that are unknown and files that are not there are warned of and passed over.
    """
    options, operands = _options(arguments, is_exact)
    try:
        separator = Separator(os.fsencode(options.get("s") or DEFAULT_SEPARATOR).decode("latin-1"))
    except ValueError as error:
        raise ConversionStopped(f"csv2vw: -s: {error}") from error
    label_column = 0
    if operands and _is_integer(operands[0]):
        label_column = int(operands.pop(0))
        if "v" in options:
            sys.stderr.write(f"LabelColArg={label_column} @ARGV=({' '.join(operands)})\n")
    files = _readable(operands) if is_exact else operands
    check_paths(files)
    conversion = Conversion(separator, label_column, "h" in options, _say)
    is_first = not is_exact and "h" not in options
    for chunk in read_chunks(files) if files or not operands else ():
        if is_first:
            _point_to_modern(chunk, separator)
        is_first = False
        for text in conversion.convert(chunk):
            yield text.encode("latin-1")
        sys.stdout.flush()


def _options(arguments: list[str], is_exact: bool) -> tuple[dict[str, str], list[str]]:
    """Options as Perl's getopts reads them: up to the first operand, clustered, an option's value joined or not."""
    options: dict[str, str] = {}
    operands = list(arguments)
    while operands and operands[0].startswith("-") and operands[0] != STDIN:
        cluster = operands.pop(0)[1:]
        if cluster == "-":
            break
        while cluster:
            letter, cluster = cluster[0], cluster[1:]
            if letter == "s":
                if not cluster and not operands and not is_exact:
                    raise ConversionStopped("csv2vw: -s needs a regular expression: csv2vw -s '[,;]' FILE")
                options["s"], cluster = cluster or (operands.pop(0) if operands else ""), ""
            elif letter in "vh":
                options[letter] = ""
            elif is_exact:
                sys.stderr.write(f"Unknown option: {letter}\n")
            else:
                raise ConversionStopped(_unknown_option(letter, cluster))
    return options, operands


def _unknown_option(letter: str, cluster: str) -> str:
    if letter.isdecimal():
        return f"csv2vw: a negative label column goes after --: csv2vw -- -{letter}{cluster} FILE"
    return f"csv2vw: unknown option {'-' + letter + cluster!r}; csv2vw --help lists the options"


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal()


def _readable(paths: list[str]) -> list[str]:
    """The files that Perl's `<>` would read; it warns of one that is not there, and reads nothing from a folder."""
    readable = []
    for path in paths:
        if path == STDIN or (os.path.exists(path) and not os.path.isdir(path)):  # noqa: PTH110, PTH112
            readable.append(path)
        elif not os.path.isdir(path):  # noqa: PTH112 (pathlib takes longer to import than all of this)
            _say(f"cannot open {path}: No such file or directory")
    return readable


def _point_to_modern(chunk: Chunk, separator: Separator) -> None:
    """A word on standard error about a first line that is a header of VW's own CSV, here a row of data.

    Past Python's stream, so that a standard error that takes nothing changes no exit code.
    """
    line = chunk.text[: chunk.text.find("\n")] if "\n" in chunk.text else chunk.text
    if "_label" not in line and "|" not in line:
        return
    cells = [(cell or "").strip('"\r') for cell in separator.fields(separator.unified(line))]
    found = next((cell for cell in cells if cell == "_label" or _NAMESPACED.fullmatch(cell)), None)
    if found is not None:
        text = f"csv2vw: {chunk.path}: {found!r} in the first line looks like a header; --modern reads columns by it\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode("ascii", "backslashreplace"))


def _say(text: str) -> None:
    sys.stderr.write(f"csv2vw: {text}\n")
