"""The command line imports what a command needs and no more: most of a short command's time would be importing."""

import subprocess
import sys

import pytest

HEAVY = ("aiohttp.client", "river.linear_model", "vowpalwabbit", "aiokafka", "faust", "stream_app.service")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["checkpoints", "list"],
        ["train", "none.vw"],
        ["weights", "--top", "3", "--store", "none"],
        ["tags"],
    ],
)
def test_a_command_that_asks_nobody_imports_no_client_no_service_and_no_learner_of_others(tmp_path, arguments):
    program = (
        "import sys\nfrom stream_app.cli import main\nsys.argv = ['weir', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
