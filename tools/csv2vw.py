"""The command csv2vw: CSV files to Vowpal Wabbit text, in the grammars of both scripts of that name. Knows no rows."""

import os
import sys
from collections.abc import Iterable, Sequence

from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.lines import read_chunks
from tools.csv2vw_parts.perl import Conversion
from tools.csv2vw_parts.separator import Separator

USAGE = r"""Usage: csv2vw [-v] [-h] [-s REGEX] [--] [LABEL_COL] [FILE...]
       csv2vw --upstream ...   (csv2vw --upstream --help)

Writes one Vowpal Wabbit line per row: <label> <n>|f name:number name=text ...
n counts the rows of all files from 1. Text labels become classes 1..k in order of appearance.
Rows come from standard input where there is no FILE, and for the FILE "-".

  LABEL_COL   column of the label, from 0, or from -1 backwards (after "--"); default 0
  -h          the first line names the columns; a later file may repeat it. Default: names are 0, 1, ...
  -s REGEX    regular expression between fields; default [,\t]
  -v          say on standard error which columns were found; default: say nothing
  --upstream  speak the grammar of the Python script instead; default: that of the Perl script
  --help      print this and stop

Example: csv2vw -h -- -1 iris.csv | vw --oaa 3
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 output closed early, 2 wrong use, 25 no such label column."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if "--upstream" in arguments:
            from tools.csv2vw_parts.upstream import run  # its argument parser takes as long to load as all the rest

            arguments.remove("--upstream")
            _write(run(arguments))
        elif "--help" in arguments:
            sys.stdout.write(USAGE)
        else:
            _write(_converted(arguments))
    except ConversionStopped as stopped:
        sys.stderr.write(f"{stopped}\n")
        return stopped.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _write(texts: Iterable[bytes]) -> None:
    """Everything that was converted reaches standard output, also where the conversion stops."""
    output = sys.stdout.buffer
    try:
        for text in texts:
            output.write(text)
    finally:
        output.flush()


def _converted(arguments: list[str]) -> Iterable[bytes]:
    options, operands = _perl_options(arguments)
    try:
        separator = Separator(os.fsencode(options.get("s", r"[,\t]")).decode("latin-1"))
    except ValueError as error:
        raise ConversionStopped(f"csv2vw: -s: {error}") from error
    label_column = int(operands.pop(0)) if operands and _is_integer(operands[0]) else 0
    conversion = Conversion(separator, label_column, "h" in options, _say)
    for chunk in read_chunks(operands):
        had_columns = bool(conversion.names)
        for text in conversion.convert(chunk.text, chunk.begins_file):
            yield text.encode("latin-1")
        sys.stdout.flush()
        if "v" in options and not had_columns:
            name = conversion.names[conversion.label]
            _say(f"{chunk.path}: {len(conversion.names)} columns, label column {conversion.label} ({name!r})")


def _perl_options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options as Perl's getopts reads them: up to the first operand, clustered, an option's value joined or not."""
    options: dict[str, str] = {}
    operands = list(arguments)
    while operands and operands[0].startswith("-") and operands[0] != "-":
        cluster = operands.pop(0)[1:]
        if cluster == "-":
            break
        while cluster:
            letter, cluster = cluster[0], cluster[1:]
            if letter == "s":
                if not cluster and not operands:
                    raise ConversionStopped("csv2vw: -s needs a regular expression: csv2vw -s '[,;]' FILE")
                options["s"], cluster = cluster or operands.pop(0), ""
            elif letter in "vh":
                options[letter] = ""
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


def _say(text: str) -> None:
    sys.stderr.write(f"csv2vw: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
