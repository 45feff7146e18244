"""What the tests of csv2vw share."""

from pathlib import Path

import pytest
from csv2vw_running import Run

from tools.csv2vw import main


@pytest.fixture
def csv2vw(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a folder of its own: arguments, and files by name, to exit code and both outputs.

    `data` is the content of `in.csv`, `in_tsv` that of `in.tsv`.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, data: bytes | str | None = None, **files: str) -> tuple[int, str, str]:
        if data is not None:
            Path("in.csv").write_bytes(data.encode() if isinstance(data, str) else data)
        for name, content in files.items():
            Path(name.replace("_", ".")).write_text(content, encoding="utf-8")
        capfd.readouterr()
        code = main(arguments)
        return code, *capfd.readouterr()

    return run
