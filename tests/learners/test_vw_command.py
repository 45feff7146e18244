"""The command lines of VW that people paste: what makes the learner, and what a bounded run does besides."""

import io
from pathlib import Path

import pytest

from learners.learner import LearnerError
from learners.vw import VW
from learners.vw_command import VWCommand
from learners.vw_lines import of_first_lines


@pytest.mark.parametrize(
    ("text", "learner", "reports"),
    [
        ("--ftrl  -b 10", "--ftrl  -b 10", []),
        ("-l 2 -f m.vw -P10 --quiet", "-l 2", ["--final_regressor", "m.vw", "--progress", "10"]),
        ("-k -c --cache_file x --passes 1 --no_stdin", "", []),
        ("--predictions=p -r raw --ngram 2", "--ngram 2", ["--predictions", "p", "--raw_predictions", "raw"]),
        ("--invert_hash i --readable_model=r", "", ["--invert_hash", "i", "--readable_model", "r"]),
        ("-P 3 -P 3", "", ["--progress", "3"]),
    ],
)
def test_what_is_written_and_printed_is_no_part_of_the_learner(text: str, learner: str, reports: list[str]) -> None:
    command = VWCommand(text)
    assert (command.learner, command.reports) == (learner, reports)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--passes 3", "name the file once per pass"),
        ("-f", "needs a value"),
        ("--examples x", "expected a whole number"),
        ("-p a -p b", "given twice"),
        ("-f 'x", "No closing quotation"),
    ],
)
def test_what_cannot_be_done_is_an_error_that_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(LearnerError, match=message):
        VWCommand(text)


@pytest.mark.parametrize("text", ["-i m", "-d f", "--daemon", "-t", "--audit", "--json", "--help"])
def test_what_a_bounded_run_refuses_is_left_for_the_learner_to_refuse(text: str) -> None:
    with pytest.raises(LearnerError, match="is not for a stream"):
        VW(VWCommand(text).learner)


def test_what_the_command_line_of_weir_asks_for_wins() -> None:
    command = VWCommand("-P 3")
    command.report("--progress", "5")
    command.report("--predictions", None)
    assert command.reports == ["--progress", "5"]


def test_a_file_that_cannot_be_written_is_an_error_beforehand(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match=r"--final_regressor .*No such file or directory"):
        VWCommand(f"-f {tmp_path}/missing/m.vw").check_files()


@pytest.mark.parametrize("count", [None, 0, 1, 3, 4, 9])
@pytest.mark.parametrize("way", ["lines", "chunks"])
def test_examples_are_counted_in_lines_over_all_files(count: int | None, way: str) -> None:
    def split(stream: object) -> list[bytes]:
        if way == "lines":
            return list(stream)  # type: ignore[call-overload,no-any-return]
        return iter(lambda: stream.read(4), b"")  # type: ignore[attr-defined,return-value]

    cut = of_first_lines(split, count)  # type: ignore[arg-type]
    files = [b"a\n\nb\n", b"c\nd\n"]
    found = b"".join(piece for file in files for piece in cut(io.BytesIO(file)))
    assert found == b"".join(b"".join(files).splitlines(keepends=True)[:count])


def test_active_learning_does_not_wait_for_a_network_peer() -> None:
    learner = VW("--active --direct")
    assert learner.traits.arguments == "--active --direct"


def test_a_quiet_learner_still_says_that_it_has_diverged() -> None:
    assert VW("--quiet --ftrl").traits.arguments == "--quiet --ftrl"
    assert "--quiet" not in VW("--quiet --ftrl")._arguments.command
