"""A command line of VW as people paste it: what makes the learner, and what a bounded run prints and writes besides."""

import os
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from learners.learner import LearnerError
from learners.vw_arguments import split_arguments

# Short names of options that are given on to VW, or done here.
_LONG = {
    "-p": "--predictions", "-P": "--progress", "-r": "--raw_predictions", "-f": "--final_regressor",
    "-k": "--kill_cache", "-c": "--cache",
}  # fmt: skip

# VW does these itself in a bounded run. They change nothing that is learnt, so they are no part of the learner.
_REPORTS = frozenset([
    "--progress", "--predictions", "--raw_predictions", "--final_regressor", "--readable_model", "--invert_hash",
    "--dump_json_weights_experimental", "--output_feature_regularizer_binary", "--output_feature_regularizer_text",
    "--log_level", "--log_output", "--limit_output", "--extra_metrics",
])  # fmt: skip
_REPORT_FLAGS = frozenset([
    "--hexfloat_weights", "--dump_json_weights_include_feature_names_experimental",
    "--dump_json_weights_include_extra_online_state_experimental",
])  # fmt: skip
_FILES = frozenset([
    "--predictions", "--raw_predictions", "--final_regressor", "--readable_model", "--invert_hash",
    "--dump_json_weights_experimental", "--output_feature_regularizer_binary", "--output_feature_regularizer_text",
    "--extra_metrics",
])  # fmt: skip

# A stream is read once, from no cache, and the summary is always needed.
_NOTHING = frozenset(["--kill_cache", "--cache", "--no_stdin"])
_NOTHING_WITH_VALUE = frozenset(["--cache_file", "--driver_output"])
_QUIET = frozenset(["--quiet", "--driver_output_off"])


class VWCommand:
    """An argument string for a bounded run: `learner` is what a checkpoint is made by, `reports` what goes beside it.

    `first_lines` is VW's `--examples`: how many lines of VW text to read; None for all. With `is_quiet` nothing is
    printed. Raises LearnerError for what cannot be parsed, or be done here.
    """

    def __init__(self, text: str) -> None:
        self.is_quiet = False
        self.first_lines: int | None = None
        self.reports: list[str] = []
        kept: list[str] = []
        tokens = iter(split_arguments(text))
        has_other = False
        for token in tokens:
            name, value = _option(token)
            if name in _REPORTS | _NOTHING_WITH_VALUE | {"--passes", "--examples"}:
                found = value if value is not None else next(tokens, None)
                if found is None:
                    raise LearnerError(f"learner.args: {token} needs a value")
                self._take(name, found)
            elif name in _REPORT_FLAGS:
                self.reports.append(name)
            elif name in _QUIET:
                self.is_quiet = True
            elif name not in _NOTHING:
                kept.append(token)
                continue
            has_other = True
        self.learner = shlex.join(kept) if has_other else text

    def report(self, name: str, value: str | None) -> None:
        """Set what the command line of Weir asks for, unless it does not; it wins over the argument string."""
        if value is not None:
            self.reports = [*_without(self.reports, name), name, value]

    def files(self) -> dict[str, str]:
        """The files that VW writes, by option.

        >>> VWCommand("--progress 2 -f m").files()
        {'--final_regressor': 'm'}
        """
        return {name: value for name, value in pairwise(self.reports) if name in _FILES}

    def check_files(self) -> None:
        """Raises LearnerError for a file that cannot be written: VW would say nothing, or only at the end."""
        for name, value in self.files().items():
            if value == "stdout":
                continue
            try:
                with Path(value).open("ab"):
                    pass
            except OSError as error:
                raise LearnerError(f"{name} {value}: {os.strerror(error.errno or 0)}") from error

    def _take(self, name: str, value: str) -> None:
        if name in _REPORTS:
            if name in self.reports and [name, value] != self.reports[self.reports.index(name) :][:2]:
                raise LearnerError(f"learner.args: {name} is given twice, the second time as {value}")
            self.reports = [*_without(self.reports, name), name, value]
        elif name == "--passes" and value != "1":
            raise LearnerError(
                f"learner.args: --passes {value}: a stream is passed once; name the file once per pass: "
                "weir train FILE FILE"
            )
        elif name == "--examples":
            self.first_lines = _count(value)


def _option(token: str) -> tuple[str, str | None]:
    """The long name of the option that a token is, and its value if the token holds that too."""
    if token.startswith("--"):
        name, equals, value = token.partition("=")
        return name, value if equals else None
    if token[:2] not in _LONG:
        return token, None
    return _LONG[token[:2]], token[2:] or None


def _without(reports: Sequence[str], name: str) -> list[str]:
    if name not in reports:
        return list(reports)
    index = reports.index(name)
    return [*reports[:index], *reports[index + 2 :]]


def _count(text: str) -> int | None:
    try:
        count = int(text)
    except ValueError:
        raise LearnerError(f"learner.args: --examples {text}: expected a whole number") from None
    return count if count >= 0 else None
