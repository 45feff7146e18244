from pathlib import Path

from stream_app.sources.block_store import BlockStore
from stream_app.sources.blocks import Block, Changes, block_key, encode


def block(seq: int, payload: bytes) -> Block:
    return Block(seq, 1.0, 0, len(payload), 1, [payload])


def write(store: BlockStore, *blocks: tuple[int, Block]) -> None:
    changes = Changes()
    for offset, written in blocks:
        changes.puts[block_key(0, offset)] = encode(written)
    assert store.write(changes)


def opened(path: Path) -> BlockStore:
    store = BlockStore(path, 1)
    if not (path / "ACKED").exists():
        store.create()
    store.open()
    return store


def test_reopening_forgets_what_was_written_and_never_acknowledged(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, (0, block(1, b"told")))
    store.sync(1)
    write(store, (1, block(2, b"never told")), (2, block(3, b"never told")))
    store.reopen({0: 1})
    last = store.last(0)
    assert last is not None
    assert (last[0], last[1].seq) == (0, 1)
    store.close()
    store = opened(tmp_path)
    assert store.find(0, 1) is None
    store.close()


def test_what_takes_the_place_of_a_forgotten_block_is_there(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, (0, block(1, b"never told")), (1, block(2, b"never told")))
    store.reopen({0: 0})
    write(store, (0, block(1, b"told")))
    store.sync(1)
    store.close()
    store = opened(tmp_path)
    assert store.find(0, 0) == (0, block(1, b"told"))
    assert store.find(0, 1) is None
    store.close()


def test_a_block_is_found_by_each_of_its_offsets(tmp_path: Path) -> None:
    store = opened(tmp_path)
    three = Block(1, 1.0, 0, 3, 3, [b"a", b"b", b"c"])
    write(store, (5, three), (8, block(2, b"d")))
    assert [store.find(0, offset) for offset in (5, 6, 7)] == [(5, three)] * 3
    assert store.find(0, 8) == (8, block(2, b"d"))
    assert store.find(0, 4) is None
    assert store.find(0, 9) is None
    store.close()
