"""The command csv2vw: CSV files to Vowpal Wabbit text, in the grammars of both scripts of that name. Knows no rows."""

import os
import sys
from collections.abc import Iterable, Sequence

from tools.csv2vw_parts.errors import ConversionStopped

USAGE = r"""Usage: csv2vw [-v] [-h] [-s REGEX] [--exact] [--] [LABEL_COL] [FILE...]
       csv2vw --upstream ...                      (csv2vw --upstream --help)
       csv2vw --modern [--label NAME] [LONG OPTION...] [FILE...]

Writes one Vowpal Wabbit line per row: <label> <n>|f name:number name=text ...
n counts the rows of all files from 1. Text labels become classes 1..k in order of appearance.
Rows come from standard input where there is no FILE, and for the FILE "-".

  LABEL_COL   column of the label, from 0, or from -1 backwards (after "--"); default 0
  -h          the first line of all names the columns; default: names are 0, 1, ...
  -s REGEX    regular expression between fields; default [,\t]
  -v          say on standard error what is read; default: say nothing
  --upstream  speak the grammar of the Python script instead; default: that of the Perl script
  --help      print this and stop

Example: csv2vw -h -- -1 iris.csv | vw --oaa 3

--modern, or any other long option, takes the modern reader: names instead of numbers, quoted cells, everything escaped
that VW would misread, bad rows told of by their line. It writes <label> [weight] ['tag] |name:number name=text |ns ...

"""
EXAMPLE = """
Example: csv2vw --label IsDepDelayed --labels YES=1,NO=-1 --ignore TailNum --missing-value NA flights.csv.gz
Exit codes: 0 done, 1 a bad row, 2 wrong use. More in docs/csv2vw.md.
"""

MODES = ("--help", "--upstream", "--exact")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 a bad row or an early end of the output, 2 wrong use.

    Where the scripts ended with another one for a label column that is not there (25, 255), so does this.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if "--help" in arguments and "--upstream" not in arguments:
            sys.stdout.write(help_text())
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


def help_text() -> str:
    """What --help prints."""

    from tools.csv2vw_parts.modern_options import parser  # loads an argument parser

    return USAGE + parser().format_help().lstrip("\n") + EXAMPLE


def _write(texts: Iterable[bytes]) -> None:
    """Everything that was converted reaches standard output, also where the conversion stops."""
    output = sys.stdout.buffer
    try:
        for text in texts:
            output.write(text)
    finally:
        output.flush()


def _converted(arguments: list[str]) -> Iterable[bytes]:
    """Any long option of its own takes the modern reader; a reader is imported only where it is taken."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    is_exact = "--exact" in options
    if "--upstream" in options:
        from tools.csv2vw_parts import upstream  # its argument parser takes as long to load as all the rest

        return upstream.run(_without(arguments, "--upstream", "--exact"), is_exact)
    if any(option.startswith("--") and option not in MODES for option in options):
        from tools.csv2vw_parts.modern import run

        return run(arguments)
    from tools.csv2vw_parts import perl_command

    return perl_command.run(_without(arguments, "--exact"), is_exact)


def _without(arguments: list[str], *modes: str) -> list[str]:
    return [argument for argument in arguments if argument not in modes]


if __name__ == "__main__":
    sys.exit(main())
