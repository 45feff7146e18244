"""What every store must do, whether it is a directory, or an object store on an S3 server or in memory."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from checkpoint_samples import noted, sample
from fsspec.implementations.memory import MemoryFileSystem

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint, CheckpointStore, Note, Registry
from checkpoints.directory import DirectoryStore
from checkpoints.errors import CheckpointError, CheckpointMissing, EntryTaken, HeadMoved
from checkpoints.lineage import resolve, verify
from checkpoints.object_store import ObjectStore


def one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """No two threads in it: fsspec's memory looks whether there is an object, and only then creates it."""
    lock = threading.RLock()

    def alone(*arguments: Any, **options: Any) -> Any:
        with lock:
            return function(*arguments, **options)

    return alone


@pytest.fixture(params=["directory", "memory", "s3"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Registry]:
    """Each call is a new instance on the same stored state."""
    if request.param == "s3":
        bucket = request.getfixturevalue("s3")
        return lambda: ObjectStore(bucket.url, bucket.options)
    if request.param == "memory":
        monkeypatch.setattr(MemoryFileSystem, "_open", one_at_a_time(MemoryFileSystem._open))
        return lambda: ObjectStore(f"memory://{tmp_path}/store")
    return lambda: DirectoryStore(tmp_path / "store")


@pytest.fixture
def store(reopen: Callable[[], Registry]) -> Registry:
    return reopen()


def save_line(store: CheckpointStore, count: int, parent: str | None = None, first: int = 1) -> list[str]:
    """Save `count` checkpoints, each the child of the one before, from `parent` on; their ids, oldest first."""
    ids = []
    for offset in range(first, first + count):
        parent = store.save(sample(offset, parent), noted(created_at=offset), store.head())
        ids.append(parent)
    return ids


def test_a_new_store_is_empty(store: CheckpointStore) -> None:
    assert store.head() is None
    assert list(store.list()) == []
    assert list(store.prune(1)) == []


def test_what_was_saved_is_loaded_by_another_instance(reopen: Callable[[], CheckpointStore]) -> None:
    saved = reopen().save(sample(), noted(), None)
    assert saved == sample().id
    assert reopen().head() == saved
    assert reopen().load(saved) == sample()


def test_a_checkpoint_without_blobs_is_kept(store: CheckpointStore) -> None:
    empty = Checkpoint.of(sample().manifest, {})
    assert store.load(store.save(empty, noted(), None)) == empty


@pytest.mark.parametrize(
    "name", ["sha256." + "0" * 64, "", "../../etc", "sha256.12345678", "sha256." + "0" * 64 + "\n"]
)
def test_what_is_not_kept_is_missing(store: CheckpointStore, name: str) -> None:
    store.save(sample(), noted(), None)
    with pytest.raises(CheckpointMissing):
        store.load(name)


@pytest.mark.parametrize("expected", [None, sample(2).id])
def test_a_save_that_expects_another_head_saves_nothing(store: CheckpointStore, expected: str | None) -> None:
    first = store.save(sample(1), noted(), None)
    with pytest.raises(HeadMoved, match=first):
        store.save(sample(3), noted(), expected)
    assert [summary.id for summary in store.list()] == [store.head()] == [first]


def test_the_first_save_must_expect_no_head(store: CheckpointStore) -> None:
    with pytest.raises(HeadMoved):
        store.save(sample(1), noted(), sample(2).id)
    assert store.head() is None


def test_of_two_writers_one_is_fenced_off(reopen: Callable[[], CheckpointStore]) -> None:
    head = reopen().save(sample(1), noted(), None)
    outcomes: dict[int, object] = {}
    start = threading.Barrier(4)

    def write(offset: int) -> None:
        start.wait()
        try:
            outcomes[offset] = reopen().save(sample(offset, head), noted(), head)
        except HeadMoved as error:
            outcomes[offset] = error

    writers = [threading.Thread(target=write, args=(offset,)) for offset in range(2, 6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    won = [outcome for outcome in outcomes.values() if isinstance(outcome, str)]
    assert won == [reopen().head()]
    assert len(outcomes) == 4
    assert {summary.id for summary in reopen().list()} >= {head, *won}
    reopen().prune(10)
    assert {summary.id for summary in reopen().list()} == {head, *won}


def test_saving_what_is_there_moves_head_and_keeps_the_first_note(store: CheckpointStore) -> None:
    first, second = save_line(store, 2)
    assert store.save(sample(1), noted(created_at=9.0, why="rollback"), second) == first
    assert store.head() == first
    assert [summary.note for summary in store.list()] == [noted(2.0), noted(1.0)]


def test_a_listing_tells_size_note_and_manifest(store: CheckpointStore) -> None:
    saved = sample()
    store.save(saved, Note.now("SIGTERM", "0.1.0"), None)
    (summary,) = store.list()
    assert summary.manifest == saved.manifest
    assert summary.damage is None
    assert summary.note is not None
    assert summary.note.why == "SIGTERM"
    assert summary.size_bytes > sum(len(blob) for blob in saved.blobs.values())


def test_a_listing_is_newest_first(store: CheckpointStore) -> None:
    ids = save_line(store, 5)
    assert [summary.id for summary in store.list()] == ids[::-1]


def test_prune_keeps_the_newest_of_the_lineage(store: CheckpointStore) -> None:
    ids = save_line(store, 6)
    assert sorted(store.prune(2)) == sorted(ids[:4])
    assert [summary.id for summary in store.list()] == [ids[5], ids[4]]
    assert store.load(ids[4]) == sample(5, ids[3])
    assert list(store.prune(2)) == []


def test_prune_spares_what_it_is_told_to(store: CheckpointStore) -> None:
    ids = save_line(store, 5)
    assert sorted(store.prune(1, also={ids[1], "sha256." + "0" * 64})) == sorted([ids[0], ids[2], ids[3]])
    assert {summary.id for summary in store.list()} == {ids[1], ids[4]}


def test_prune_removes_a_branch_that_was_rolled_back(store: CheckpointStore) -> None:
    trunk = save_line(store, 2)
    branch = save_line(store, 2, parent=trunk[1], first=3)
    tip = store.save(sample(9, trunk[0]), noted(), branch[1])
    assert sorted(store.prune(10)) == sorted([trunk[1], *branch])
    assert {summary.id for summary in store.list()} == {tip, trunk[0]}


@pytest.mark.parametrize("keep", [0, -1])
def test_prune_refuses_to_keep_nothing(store: CheckpointStore, keep: int) -> None:
    save_line(store, 1)
    with pytest.raises(CheckpointError, match="at least 1"):
        store.prune(keep)
    assert len(store.list()) == 1


def test_a_unique_prefix_names_a_checkpoint(store: CheckpointStore) -> None:
    (saved,) = save_line(store, 1)
    for prefix in (saved, saved[7:], saved[:15], saved[7:15], saved[7:20].upper()):
        assert resolve(store, prefix) == saved


def test_an_unknown_prefix_lists_what_is_kept(store: CheckpointStore) -> None:
    (saved,) = save_line(store, 1)
    with pytest.raises(CheckpointMissing, match=f"kept are: {saved.removeprefix('sha256.')[:12]};"):
        resolve(store, "0" * 8)


@pytest.mark.parametrize("prefix", ["", "sha256.", "1234567", "nothexatall", "a" * 65, "sha1.12345678"])
def test_what_is_no_prefix_is_refused(store: CheckpointStore, prefix: str) -> None:
    with pytest.raises(CheckpointError, match="8 to 64 hex digits"):
        resolve(store, prefix)


def test_verify_remarks_a_parent_that_is_not_kept(store: CheckpointStore) -> None:
    ids = save_line(store, 2)
    assert verify(store, ids[1]).remarks == []
    store.prune(1)
    assert verify(store, ids[1]).remarks == [f"parent not kept: {ids[0]}"]
    assert verify(store, ids[1]).blobs == 4


def test_a_value_that_cannot_be_hashed_is_refused_before_anything_is_written(store: CheckpointStore) -> None:
    checkpoint = sample()
    checkpoint.manifest.metrics["loss"] = math.nan
    with pytest.raises(CheckpointError, match=r"metrics\.loss"):
        store.save(checkpoint, noted(), None)
    assert list(store.list()) == []


def test_a_url_names_a_store(tmp_path: Path) -> None:
    saved = open_store(str(tmp_path / "x")).save(sample(), noted(), None)
    assert open_store(f"file:{tmp_path}/x").load(saved) == sample()
    with pytest.raises(CheckpointError, match="'ftp:x'"):
        open_store("ftp:x")


def test_a_package_is_kept_beside_the_lineage(reopen: Callable[[], CheckpointStore]) -> None:
    store = reopen()
    (head,) = save_line(store, 1)
    kept = store.keep(sample(2, head), noted(2.0))
    assert store.head() == head
    assert reopen().load(kept) == sample(2, head)
    assert [summary.id for summary in reopen().list()] == [kept, head]


def test_prune_spares_what_is_pinned_and_its_parent(store: CheckpointStore) -> None:
    ids = save_line(store, 4)
    pinned = store.keep(sample(9, ids[1]), msgspec.structs.replace(noted(9.0), is_pinned=True))
    assert sorted(store.prune(1)) == sorted([ids[0], ids[2]])
    assert {summary.id for summary in store.list()} == {ids[1], ids[3], pinned}


def test_prune_spares_what_the_last_entry_of_a_ledger_names_and_its_parent(store: Registry) -> None:
    ids = save_line(store, 5)
    store.enter("tags/a", 0, ids[0].encode())
    store.enter("tags/a", 1, f'{{"now": "{ids[2]}"}}'.encode())
    assert sorted(store.prune(1)) == sorted([ids[0], ids[3]])
    assert {summary.id for summary in store.list()} == {ids[1], ids[2], ids[4]}


def test_ledgers_are_numbered_lists(store: Registry) -> None:
    assert list(store.ledgers()) == []
    assert list(store.entries("tags/a")) == []
    for number in range(12):
        store.enter("tags/a", number, b"%d" % number)
    store.enter("tags/b.c-d_9", 0, b"")
    assert list(store.ledgers()) == ["tags/a", "tags/b.c-d_9"]
    assert list(store.entries("tags/a")) == [b"%d" % number for number in range(12)]
    assert list(store.entries("tags/a", 10)) == [b"10", b"11"]
    assert list(store.entries("tags/a", 12)) == []
    assert list(store.entries("tags/a", -1)) == [b"11"]
    assert list(store.entries("tags/b.c-d_9", -1)) == [b""]


def test_an_entry_is_made_once(store: Registry) -> None:
    store.enter("tags/a", 0, b"first")
    with pytest.raises(EntryTaken):
        store.enter("tags/a", 0, b"second")
    with pytest.raises(CheckpointError, match="entry 2 is not the next one"):
        store.enter("tags/a", 2, b"third")
    assert list(store.entries("tags/a")) == [b"first"]


def test_of_writers_of_one_entry_one_wins(reopen: Callable[[], Registry]) -> None:
    outcomes: dict[int, str] = {}
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait()
        try:
            reopen().enter("tags/a", 0, b"%d" % number)
            outcomes[number] = "won"
        except EntryTaken:
            outcomes[number] = "lost"

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes.values()) == ["lost", "lost", "lost", "won"]
    winner = next(number for number, outcome in outcomes.items() if outcome == "won")
    assert list(reopen().entries("tags/a")) == [b"%d" % winner]


@pytest.mark.parametrize("name", ["a", "tags/", "tags/A", "tags/../x", "tags/a/b", "tags/.a", "tags/" + "a" * 101])
def test_a_ledger_has_a_plain_name(store: Registry, name: str) -> None:
    with pytest.raises(CheckpointError, match="expected up to 100"):
        store.enter(name, 0, b"")
    with pytest.raises(CheckpointError, match="expected up to 100"):
        store.entries(name)


def test_an_entry_is_bounded(store: Registry) -> None:
    with pytest.raises(CheckpointError, match="at most 1048576"):
        store.enter("tags/a", 0, b"x" * (1 << 20 | 1))
    assert list(store.ledgers()) == []
