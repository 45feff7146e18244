"""The directory store: its layout, damaged and foreign files, full media."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoint_samples import BLOBS, manifest, noted, sample
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.checkpoint import Checkpoint
from checkpoints.directory import DirectoryStore
from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing
from checkpoints.manifest import canonical, id_of

SAVED = sample()
FILES = ["MODEL.json", *sorted(SAVED.blobs)]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    store.save(SAVED, noted(), None)
    return store


def package(tmp_path: Path, model_id: str = SAVED.id) -> Path:
    return tmp_path / "objects" / model_id


def test_the_layout_is_as_documented(store: DirectoryStore, tmp_path: Path) -> None:
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "HEAD",
        "LOCK",
        f"notes/{SAVED.id}.json",
        *(f"objects/{SAVED.id}/{name}" for name in FILES),
    }
    assert (tmp_path / "HEAD").read_text() == f"{SAVED.id}\n"
    assert id_of((package(tmp_path) / "MODEL.json").read_bytes()) == SAVED.id
    assert (package(tmp_path) / "learner").read_bytes() == BLOBS["learner"]


@pytest.fixture(scope="module")
def damageable(tmp_path_factory: pytest.TempPathFactory) -> tuple[DirectoryStore, Path]:
    """A store for many small damages, each of which is undone by its test."""
    path = tmp_path_factory.mktemp("damageable")
    store = DirectoryStore(path)
    store.save(SAVED, noted(), None)
    return store, package(path)


def refuses(store: DirectoryStore, path: Path, damaged: bytes) -> str:
    """What `load` says while `path` holds `damaged`."""
    whole = path.read_bytes()
    path.write_bytes(damaged)
    try:
        with pytest.raises(CheckpointDamaged) as caught:
            store.load(SAVED.id)
    finally:
        path.write_bytes(whole)
    return str(caught.value)


@given(name=st.sampled_from([name for name in FILES if name != "encoders"]), data=st.data())
def test_a_flipped_bit_anywhere_is_refused_by_name(
    damageable: tuple[DirectoryStore, Path], name: str, data: st.DataObject
) -> None:
    store, folder = damageable
    damaged = bytearray((folder / name).read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    said = refuses(store, folder / name, bytes(damaged))
    assert SAVED.id in said
    assert name in said
    assert "sha256" in said


@given(name=st.sampled_from([name for name in FILES if name != "encoders"]), data=st.data())
def test_a_file_cut_anywhere_is_refused_by_name(
    damageable: tuple[DirectoryStore, Path], name: str, data: st.DataObject
) -> None:
    store, folder = damageable
    whole = (folder / name).read_bytes()
    said = refuses(store, folder / name, whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert SAVED.id in said
    assert name in said


@given(name=st.sampled_from(FILES), more=st.binary(min_size=1, max_size=100))
def test_a_file_that_grew_is_refused_by_name(damageable: tuple[DirectoryStore, Path], name: str, more: bytes) -> None:
    store, folder = damageable
    said = refuses(store, folder / name, (folder / name).read_bytes() + more)
    assert SAVED.id in said
    assert name in said


def test_a_huge_file_is_refused_unread(store: DirectoryStore, tmp_path: Path) -> None:
    for name, limit in (("learner", 320), ("MODEL.json", 64 * 1024 * 1024)):
        with (package(tmp_path) / name).open("r+b") as file:
            file.truncate(1 << 40)
        with pytest.raises(CheckpointDamaged, match=f"{name}'? has length {1 << 40}, expected at most {limit}"):
            store.load(SAVED.id)


def remove(path: Path) -> None:
    path.unlink()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [remove, make_pipe, make_folder])
def test_what_is_no_file_any_more_is_refused_by_name(store: DirectoryStore, tmp_path: Path, harm, name: str) -> None:
    harm(package(tmp_path) / name)
    with pytest.raises(CheckpointDamaged, match=f"{SAVED.id}: (blob )?'?{name}'? is (missing|not a regular file)"):
        store.load(SAVED.id)


def test_a_package_with_another_packages_manifest_is_refused(store: DirectoryStore, tmp_path: Path) -> None:
    (package(tmp_path) / "MODEL.json").write_bytes(canonical(sample(5).manifest))
    with pytest.raises(CheckpointDamaged, match="name says otherwise"):
        store.load(SAVED.id)


def test_a_damaged_package_is_made_whole_by_saving_it_again(store: DirectoryStore, tmp_path: Path) -> None:
    (package(tmp_path) / "learner").write_bytes(b"")
    store.save(SAVED, noted(), SAVED.id)
    assert store.load(SAVED.id) == SAVED
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_listing_survives_damaged_and_foreign_entries(store: DirectoryStore, tmp_path: Path) -> None:
    child = store.save(sample(2, SAVED.id), noted(2.0), SAVED.id)
    (package(tmp_path) / "MODEL.json").write_bytes(b"{}")
    (tmp_path / "objects" / "lost+found").mkdir()
    (tmp_path / "objects" / ("sha256." + "1" * 64)).write_bytes(b"a file")
    future = b'{"format":2}'
    package(tmp_path, id_of(future)).mkdir()
    (package(tmp_path, id_of(future)) / "MODEL.json").write_bytes(future)
    first, *others = store.list()
    assert (first.id, first.damage) == (child, None)
    damages = {summary.id: summary.damage or "" for summary in others}
    assert "MODEL.json has sha256" in damages[SAVED.id]
    assert "no model id" in damages["lost+found"]
    assert "is not a directory" in damages["sha256." + "1" * 64]
    assert "format 2, expected 1" in damages[id_of(future)]


def test_a_listing_reads_no_blob(store: DirectoryStore, tmp_path: Path) -> None:
    for name in SAVED.blobs:
        (package(tmp_path) / name).unlink()
    (summary,) = store.list()
    assert summary.damage is None
    assert summary.size_bytes == len(canonical(SAVED.manifest)) + sum(map(len, SAVED.blobs.values()))


@pytest.mark.parametrize("data", [b"", b"{", b'{"created_at":"x"}', b"x" * 100_000])
def test_a_lost_note_costs_only_the_note(store: DirectoryStore, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "notes" / f"{SAVED.id}.json").write_bytes(data)
    (summary,) = store.list()
    assert summary.note is None
    assert store.load(SAVED.id) == SAVED


def test_prune_leaves_foreign_entries_alone(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "objects" / "lost+found").mkdir()
    (tmp_path / "notes" / "README").write_text("mine")
    store.save(sample(2, SAVED.id), noted(), SAVED.id)
    assert store.prune(1) == [SAVED.id]
    assert (tmp_path / "objects" / "lost+found").exists()
    assert (tmp_path / "notes" / "README").exists()


def test_prune_with_a_damaged_manifest_in_the_lineage_removes_nothing(store: DirectoryStore, tmp_path: Path) -> None:
    second = store.save(sample(2, SAVED.id), noted(), SAVED.id)
    third = store.save(sample(3, second), noted(), second)
    (package(tmp_path, second) / "MODEL.json").write_bytes(b"{}")
    assert store.prune(2) == []
    fourth = store.save(sample(4, third), noted(), third)
    assert set(store.prune(2)) == {SAVED.id, second}
    assert {summary.id for summary in store.list()} == {third, fourth}


@pytest.mark.parametrize("data", [b"", b"sha256.12\n", SAVED.id.encode(), b"x" * 1000, b"\xff\n"])
def test_a_damaged_head_is_refused_and_saved_over_by_nobody(store: DirectoryStore, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "HEAD").write_bytes(data)
    for act in (store.head, lambda: store.save(sample(2), noted(), SAVED.id), lambda: store.prune(1)):
        with pytest.raises(CheckpointDamaged, match=r"HEAD: .* write the id of a checkpoint into it"):
            act()
    assert (tmp_path / "HEAD").read_bytes() == data


def test_a_head_without_its_package_is_told_as_missing(store: DirectoryStore, tmp_path: Path) -> None:
    shutil.rmtree(package(tmp_path))
    head = store.head()
    assert head == SAVED.id
    with pytest.raises(CheckpointMissing, match=SAVED.id):
        store.load(head)


def test_a_manifest_too_large_to_be_read_back_is_not_saved(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpoints.package.MANIFEST_LIMIT_BYTES", 100)
    with pytest.raises(CheckpointError, match="expected at most 100"):
        store.save(sample(2), noted(), SAVED.id)
    assert store.head() == SAVED.id


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"not saved: .*file"):
        DirectoryStore(tmp_path / "file" / "store").save(SAVED, noted(), None)


@pytest.fixture
def full_medium(tmp_path: Path) -> Iterator[Path]:
    """A store on a medium of 1 MiB."""
    path = tmp_path / "medium"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_medium_leaves_the_old_state_and_nothing_else(full_medium: Path) -> None:
    store = DirectoryStore(full_medium / "store")
    store.save(SAVED, noted(), None)
    before = {path: path.stat().st_mtime_ns for path in full_medium.rglob("*") if path.is_file()}
    large = Checkpoint.of(manifest(2, SAVED.id), {"learner": bytes(2 << 20)})
    with pytest.raises(CheckpointError, match="checkpoint not saved: no space"):
        store.save(large, noted(), SAVED.id)
    assert {path: path.stat().st_mtime_ns for path in full_medium.rglob("*") if path.is_file()} == before
    assert store.load(SAVED.id) == SAVED
    store.save(sample(2, SAVED.id), noted(), SAVED.id)


def test_a_medium_filled_to_any_page_is_never_left_half_saved(full_medium: Path) -> None:
    """As space runs out at one file after the other: package, note, HEAD."""
    store = DirectoryStore(full_medium / "store")
    store.save(SAVED, noted(), None)
    kept, outcomes = {SAVED.id}, set()
    for free_pages in range(10):
        filler = full_medium / "filler"
        room = os.statvfs(full_medium)
        filler.write_bytes(bytes((room.f_bavail - free_pages) * room.f_bsize))
        head = store.head()
        try:
            saved = store.save(sample(10 + free_pages, head), noted(), head)
        except CheckpointError:
            saved = head or ""
        outcomes.add(saved == head)
        kept.add(saved)
        filler.unlink()
        assert store.head() == saved
        assert store.load(saved).id == saved
        assert {summary.id for summary in store.list()} == kept
        assert list((full_medium / "store" / "tmp").iterdir()) == []
    assert outcomes == {True, False}


def test_a_full_medium_can_be_pruned(full_medium: Path) -> None:
    store = DirectoryStore(full_medium / "store")
    store.save(SAVED, noted(), None)
    head = store.save(sample(2, SAVED.id), noted(), SAVED.id)
    room = os.statvfs(full_medium)
    (full_medium / "filler").write_bytes(bytes(room.f_bavail * room.f_bsize))
    assert store.prune(1) == [SAVED.id]
    assert store.load(head).id == head
