"""The object store: its writer stopped at each operation, damage, and file systems that cannot fence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_samples import noted, sample
from s3_server import Bucket

from checkpoints import open_store
from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing, HeadMoved
from checkpoints.object_store import ABANDONED_S, HEADS_KEPT, ObjectStore

CHANGING = ("pipe_file", "rm_file")


class Killed(BaseException):
    """Nothing is done any more, as by kill -9: an object store's writer has no state of its own to leave behind."""


class Interrupted:
    """A file system whose user is killed at the n-th change: before it with an odd n, after it with an even one."""

    def __init__(self, fs: Any, at: int) -> None:
        self._fs, self._at = fs, at
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if 0 < self._at <= self.calls:
            raise Killed
        found = getattr(self._fs, name)
        return self._counted(found) if name in CHANGING else found

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = call(*args, **kwargs)
            self._step()
            return result

        return counted

    def _step(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            raise Killed


def interrupted(store: ObjectStore, act: Callable[[ObjectStore], object], at: int) -> int:
    """Act until the n-th step; how many steps there were."""
    fs = Interrupted(store._fs, at)
    store._fs = fs
    try:
        act(store)
    except Killed:
        assert at
    return fs.calls


def save(store: ObjectStore) -> None:
    head = sample(1).id
    store.save(sample(2, head), noted(2.0), head)


ACTIONS: dict[str, Callable[[ObjectStore], object]] = {
    "save": save,
    "keep": lambda store: store.keep(sample(9, sample(1).id), noted(9.0)),
    "enter": lambda store: store.enter("tags/a", 1, b"second"),
    "prune": lambda store: store.prune(1),
}


def filled(bucket: Bucket, name: str) -> Callable[[], ObjectStore]:
    """A store in a folder of its own, with a checkpoint and an entry; to be pruned, with three checkpoints."""

    def opened() -> ObjectStore:
        return ObjectStore(f"{bucket.url}/{name}", bucket.options)

    head = opened().save(sample(1), noted(), None)
    opened().enter("tags/a", 0, b"first")
    if name.startswith("prune"):
        for offset in (2, 3):
            head = opened().save(sample(offset, head), noted(offset), head)
    return opened


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_killed_between_any_two_steps_it_leaves_the_old_state_or_the_new(action: str, s3: Bucket) -> None:
    steps = interrupted(filled(s3, f"{action}-0")(), ACTIONS[action], 0)
    assert steps >= 4
    heads, entries = set(), set()
    for at in range(1, steps + 1):
        opened = filled(s3, f"{action}-{at}")
        interrupted(opened(), ACTIONS[action], at)
        store = opened()
        head = store.head()
        heads.add(head)
        entries.add(tuple(store.entries("tags/a")))
        assert all(summary.damage is None for summary in store.list())
        assert all(store.load(summary.id).id == summary.id for summary in store.list())
        assert head in {summary.id for summary in store.list()}
        third = store.save(sample(7, head), noted(7.0), head)
        assert (opened().head(), opened().load(third)) == (third, sample(7, head))
        store.enter("tags/a", len(store.entries("tags/a")), b"third")
        ACTIONS["keep"](store)
        assert store.load(sample(9, sample(1).id).id)
    assert heads == ({sample(1).id, sample(2, sample(1).id).id} if action == "save" else {head})
    assert entries == ({(b"first",), (b"first", b"second")} if action == "enter" else {(b"first",)})


def test_what_a_killed_writer_left_is_cleared_away_when_it_is_old(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = filled(s3, "abandoned")
    interrupted(opened(), ACTIONS["keep"], 10)
    store = opened()
    left = [path for path in store._fs.find(store._path("objects")) if sample(1).id not in path]
    assert left
    store.prune(1)
    assert [path for path in store._fs.find(store._path("objects")) if sample(1).id not in path] == left
    monkeypatch.setattr("checkpoints.object_store.ABANDONED_S", -ABANDONED_S)
    store.prune(1)
    assert [path for path in store._fs.find(store._path("objects")) if sample(1).id not in path] == []


@pytest.mark.parametrize("blob", ["learner", "order", "MODEL.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "empty", "gone"])
def test_a_wrong_byte_is_refused_with_the_name_of_the_blob(blob: str, damage: str, s3: Bucket) -> None:
    store = filled(s3, "damaged")()
    path = store._path(f"objects/{sample(1).id}/{blob}")
    data = store._fs.cat_file(path)
    changed = {"flipped": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-1], "longer": data + b"!", "empty": b""}
    if damage == "gone":
        store._fs.rm_file(path)
    else:
        store._fs.pipe_file(path, changed[damage])
    expected = CheckpointMissing if (blob, damage) == ("MODEL.json", "gone") else CheckpointDamaged
    with pytest.raises(expected, match=sample(1).id if expected is CheckpointMissing else blob):
        store.load(sample(1).id)
    assert store.save(sample(1), noted(), sample(1).id) == sample(1).id
    assert store.load(sample(1).id) == sample(1)


def test_a_file_system_that_overwrites_what_should_be_created_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(f"memory://{tmp_path}/careless")
    put = store._fs.pipe_file
    monkeypatch.setattr(type(store._fs), "pipe_file", lambda self, path, value, mode="overwrite": put(path, value))
    with pytest.raises(CheckpointError, match="overwrites objects"):
        store.save(sample(1), noted(), None)
    assert store.head() is None


def test_a_url_that_cannot_be_reached_or_opened_is_named(s3_endpoint: str) -> None:
    with pytest.raises(CheckpointError, match="s3://nobody"):
        open_store("s3://nobody/models", {"endpoint_url": s3_endpoint}).save(sample(1), noted(), None)
    with pytest.raises(CheckpointError, match="nosuch://x"):
        open_store("nosuch://x")
    assert open_store("s3://nobody/models", {"endpoint_url": s3_endpoint}).list() == []


def test_old_heads_go_with_a_prune_and_numbers_go_on(s3: Bucket) -> None:
    store = ObjectStore(s3.url, s3.options)
    head = None
    for offset in range(1, 26):
        head = store.save(sample(offset, head), noted(offset), head)
    store.prune(2)
    assert len(store._names("heads")) == 20
    assert ObjectStore(s3.url, s3.options).head() == head
    assert store.save(sample(99, head), noted(99), head)
    assert store._names("heads")[-1] == f"{25:012d}"


def test_a_writer_that_was_paused_while_many_others_saved_is_fenced_off(s3: Bucket) -> None:
    paused, other = ObjectStore(s3.url, s3.options), ObjectStore(s3.url, s3.options)
    first = paused.save(sample(1), noted(), None)
    create = paused._created

    def created_late(key: str, data: bytes) -> bool:
        if key.startswith("heads/"):
            head = first
            for offset in range(2, 2 + 2 * HEADS_KEPT):
                head = other.save(sample(offset, head), noted(offset), head)
            other.prune(2)
        return create(key, data)

    paused._created = created_late  # type: ignore[method-assign]
    with pytest.raises(HeadMoved):
        paused.save(sample(99, first), noted(99), first)
    assert other.load(str(other.head())).manifest.position[0] == 1 + 2 * HEADS_KEPT


def test_a_client_that_meets_its_own_object_when_it_tries_again_has_succeeded(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(s3.url, s3.options)
    first = store.save(sample(1), noted(), None)
    put = type(store._fs).pipe_file

    def put_twice(self: Any, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        put(self, path, value, mode=mode, **kwargs)
        if mode == "create":
            put(self, path, value, mode=mode, **kwargs)

    monkeypatch.setattr(type(store._fs), "pipe_file", put_twice)
    second = store.save(sample(2, first), noted(2.0), first)
    store.enter("tags/a", 0, b"entry")
    assert (store.head(), store.entries("tags/a")) == (second, [b"entry"])
