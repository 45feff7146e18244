"""The directory store, its writer killed or halted at each system call."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkpoint_samples import noted, sample

from checkpoints.checkpoint import Checkpoint
from checkpoints.directory import DirectoryStore
from checkpoints.durable import read_bounded
from checkpoints.errors import CheckpointError, CheckpointMissing

WRITER = Path(__file__).with_name("interrupted_writer.py")
ROOT = Path(__file__).parents[2]


def start(store: Path, action: str, number: str, at: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(WRITER), str(store), action, number, str(at)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def calls_of(store: Path, action: str) -> int:
    writer = start(store, action, "SIGKILL", 0)
    said, _ = writer.communicate()
    assert writer.returncode == 0
    return int(said)


def killed_stores(before: Path, action: str) -> Iterator[Path]:
    """Copies of the store `before`, each with a writer killed one call further on."""
    calls = calls_of(shutil.copytree(before, before.with_name("whole")), action)
    assert calls > 4

    def kill_at(at: int) -> Path:
        copy = shutil.copytree(before, before.with_name(f"killed-{at}"))
        writer = start(copy, action, "SIGKILL", at)
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        return copy

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(kill_at, range(1, calls + 1))


def leftovers(path: Path) -> list[Path]:
    return list((path / "tmp").iterdir())


@pytest.mark.parametrize("has_head", [False, True], ids=["first save", "next save"])
def test_a_save_killed_anywhere_leaves_the_old_state_or_the_new(tmp_path: Path, has_head: bool) -> None:
    old = DirectoryStore(tmp_path / "before").save(sample(1), noted(), None) if has_head else None
    (tmp_path / "before").mkdir(exist_ok=True)
    new = sample(2, old)
    seen = set()
    for path in killed_stores(tmp_path / "before", "save"):
        store = DirectoryStore(path)
        head = store.head()
        seen.add(head)
        whole: dict[str | None, Checkpoint] = {new.id: new, old: sample(1)}
        assert all(summary.damage is None for summary in store.list())
        assert all(store.load(summary.id) == whole[summary.id] for summary in store.list())
        assert head is None or store.load(head) == whole[head]
        third = store.save(sample(3, head), noted(3.0), head)
        assert store.load(third) == sample(3, head)
        assert store.head() == third
        assert leftovers(path) == []
    assert seen == {old, new.id}


def test_a_save_killed_anywhere_can_be_done_again(tmp_path: Path) -> None:
    old = DirectoryStore(tmp_path / "before").save(sample(1), noted(), None)
    new = sample(2, old)
    for path in killed_stores(tmp_path / "before", "save"):
        store = DirectoryStore(path)
        assert store.save(new, noted(4.0), store.head()) == new.id
        assert store.load(new.id) == new
        assert {summary.id for summary in store.list()} == {old, new.id}
        assert all(summary.note is not None for summary in store.list())


def test_a_prune_killed_anywhere_leaves_each_package_whole_or_gone(tmp_path: Path) -> None:
    before = DirectoryStore(tmp_path / "before")
    ids = [before.save(sample(1), noted(), None)]
    for offset in (2, 3):
        ids.append(before.save(sample(offset, ids[-1]), noted(), ids[-1]))
    for path in killed_stores(tmp_path / "before", "prune"):
        store = DirectoryStore(path)
        kept = {summary.id for summary in store.list()}
        assert all(store.load(model_id).id == model_id for model_id in kept)
        assert ids[-1] in kept
        store.prune(1)
        assert [entry.name for entry in (path / "objects").iterdir()] == [ids[-1]]
        assert [entry.stem for entry in (path / "notes").iterdir()] == [ids[-1]]
        assert leftovers(path) == []


def test_a_halted_writer_keeps_its_files_and_finishes_when_woken(tmp_path: Path) -> None:
    DirectoryStore(tmp_path / "store").save(sample(1), noted(), None)
    writer = start(tmp_path / "store", "save", "SIGSTOP", 12)
    os.waitid(os.P_PID, writer.pid, os.WSTOPPED)
    staged = leftovers(tmp_path / "store")
    assert staged
    with pytest.raises(CheckpointError, match="not saved: another writer has held"):
        DirectoryStore(tmp_path / "store", wait_s=0.1).save(sample(7), noted(), sample(1).id)
    assert leftovers(tmp_path / "store") == staged
    writer.send_signal(signal.SIGCONT)
    writer.communicate()
    assert writer.returncode == 0
    assert DirectoryStore(tmp_path / "store").head() == sample(2, sample(1).id).id


def test_a_writer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    DirectoryStore(tmp_path / "store").save(sample(1), noted(), None)
    writer = start(tmp_path / "store", "save", "SIGSTOP", 12)
    os.waitid(os.P_PID, writer.pid, os.WSTOPPED)
    with ThreadPoolExecutor(1) as pool:
        second = sample(2, sample(1).id).id
        patient = DirectoryStore(tmp_path / "store", wait_s=600.0)
        waiting = pool.submit(patient.save, sample(3, second), noted(), second)
        writer.send_signal(signal.SIGCONT)
        assert waiting.result() == DirectoryStore(tmp_path / "store").head()
    writer.communicate()


def test_a_child_forked_during_a_save_does_not_hold_the_lock(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from checkpoints.durable import exclusive
lock = Path(sys.argv[1])
with exclusive(lock, 1.0):
    child = os.fork()
    if child == 0:
        signal.pause()
try:
    with exclusive(lock, 1.0):
        pass
finally:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "LOCK")]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def test_a_reader_that_loses_its_package_to_prune_is_told_that_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path)
    first = store.save(sample(1), noted(), None)
    store.save(sample(2, first), noted(), first)

    def read_then_prune(path: Path, at_most: int) -> bytes:
        data = read_bounded(path, at_most)
        monkeypatch.undo()
        store.prune(1)
        return data

    monkeypatch.setattr("checkpoints.directory.read_bounded", read_then_prune)
    with pytest.raises(CheckpointMissing, match=first):
        store.load(first)


def test_nothing_is_moved_into_place_before_it_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut would keep: names move only when all beneath them, and every earlier move, is on the medium."""
    root = tmp_path / "data" / "store"
    dirty: set[str] = set()
    write, fsync, rename, mkdir = os.write, os.fsync, os.rename, os.mkdir

    def name_of(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def spied_write(descriptor: int, data: memoryview) -> int:
        dirty.update((found := name_of(descriptor), str(Path(found).parent)))
        return write(descriptor, data)

    def spied_fsync(descriptor: int) -> None:
        fsync(descriptor)
        dirty.discard(name_of(descriptor))

    def spied_rename(source: Path, target: Path) -> None:
        dirty.discard(str(root / "tmp"))  # what it holds is never needed again
        assert dirty == set()
        rename(source, target)
        dirty.add(str(Path(target).parent))

    def spied_mkdir(path: Path, mode: int = 0o777) -> None:
        mkdir(path, mode)
        dirty.add(str(Path(path).parent))

    monkeypatch.setattr(os, "mkdir", spied_mkdir)
    monkeypatch.setattr(os, "write", spied_write)
    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "rename", spied_rename)
    store = DirectoryStore(root)
    store.save(sample(), noted(), None)
    assert dirty <= {str(root / "tmp")}
    assert store.load(sample().id) == sample()
