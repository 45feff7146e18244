"""`weir train` writes over nothing that it reads, and over no file that is not its own."""

import asyncio
import io
import json
import os
from pathlib import Path

import pytest
from backfill_runs import broken_off, train, written
from weir_process import run_weir

from stream_app.buried import LetterFile
from stream_app.config import load
from stream_app.sources.file import FileSource
from stream_app.training import TrainJob
from stream_app.training import train as learn_files

EVENT = b'{"label": 1, "features": {"a": 1}}\n'
BAD = b'{"label": "x", "features": {"a": 1}}\n'


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--dead-letters", "OUT"], ["--predictions", "OUT"], ["--vw-args", "-f OUT"],
        ["--vw-args", "--invert_hash=OUT"], ["--vw-args", "--readable_model OUT"], ["--vw-args", "-r OUT"],
    ],
)  # fmt: skip
def test_an_output_that_is_an_input_is_refused_and_the_input_stays(
    arguments: list[str], link: bool, tmp_path: Path
) -> None:
    path = written(tmp_path / "u.vw", b"1 |f a\n-1 |f b\n")
    out = tmp_path / "other" if link else path
    if link:
        os.link(path, out)
    ran = run_weir("train", str(path), *[argument.replace("OUT", str(out)) for argument in arguments])
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"is the same file as {path}" in ran.err
    assert path.read_bytes() == b"1 |f a\n-1 |f b\n"


def test_the_letters_of_a_folder_are_not_learnt_into_that_folder(tmp_path: Path) -> None:
    written(tmp_path / "dead_letters.jsonl", EVENT)
    ran = run_weir("train", str(tmp_path / "dead_letters.jsonl"), "--out", str(tmp_path))
    assert ran.code == 2
    assert (tmp_path / "dead_letters.jsonl").read_bytes() == EVENT


@pytest.mark.parametrize("held", [b"my notes\n", EVENT])
def test_dead_letters_do_not_replace_a_file_of_something_else(held: bytes, tmp_path: Path) -> None:
    path, notes = written(tmp_path / "a.jsonl", EVENT), written(tmp_path / "notes", held)
    ran = run_weir("train", str(path), "--dead-letters", str(notes))
    assert ran.code == 2
    assert "holds something else" in ran.err
    assert notes.read_bytes() == held


def test_dead_letters_go_to_regular_files_only(tmp_path: Path) -> None:
    ran = run_weir("train", str(written(tmp_path / "a.jsonl", EVENT)), "--dead-letters", "/dev/null")
    assert ran.code == 2
    assert "/dev/null is not a regular file" in ran.err


def test_dead_letters_of_an_earlier_run_stay_and_an_empty_file_is_filled(tmp_path: Path) -> None:
    path, letters = written(tmp_path / "a.jsonl", EVENT + BAD), written(tmp_path / "letters", b"")
    assert run_weir("train", str(path), "--dead-letters", str(letters)).code == 0
    held = letters.read_bytes()
    assert json.loads(held)["record"] == 2
    ran = run_weir("train", str(path), "--dead-letters", str(letters))
    assert ran.code == 2
    assert "holds those of an earlier run" in ran.err
    assert letters.read_bytes() == held


def test_going_on_with_a_run_does_not_cut_the_letters_of_other_files(tmp_path: Path) -> None:
    other, letters = written(tmp_path / "a.jsonl", EVENT * 400 + BAD), tmp_path / "letters"
    assert run_weir("train", str(other), "--dead-letters", str(letters)).code == 0
    held = letters.read_bytes()
    service, path = broken_off(tmp_path / "run")
    written(path, path.read_bytes().rstrip(b",\n") + b"]")
    ran = service.command("train", str(path), "--resume", "--dead-letters", str(letters))
    assert ran.code == 2
    assert f"holds those of {other}" in ran.err
    assert letters.read_bytes() == held
    assert train(service, str(path), "--resume")["examples"] == 300


def test_a_disk_that_is_full_under_the_letters_is_told_with_their_path(tmp_path: Path) -> None:
    source = FileSource(written(tmp_path / "a.jsonl", BAD), iter)
    letters = LetterFile(tmp_path / "letters", source, None)
    (tmp_path / "letters").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/letters'"):
        letters.add(0, "bad", BAD)


def test_letters_are_flushed_to_the_disk_without_a_kept_model_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    job = TrainJob(
        settings=load(None),
        files=[str(written(tmp_path / "a.jsonl", EVENT + BAD))],
        dead_letters=str(tmp_path / "letters"),
    )
    asyncio.run(learn_files(job, io.StringIO()))
    assert str(tmp_path / "letters") in flushed
