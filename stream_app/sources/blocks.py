"""How records lie in a log: blocks of contiguous records of one partition, and their keys. Knows no database."""

import struct
from collections.abc import Iterator, Sequence

import msgspec

from stream_app.sources.source import SourceError

MAX_RECORDS = 1024
MAX_BYTES = 1 << 20
MAX_PARTITIONS = 1024
LAST_OFFSET = 2**64 - 1
_START = b"\xff\xffstart"


class BlockHead(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What retention needs to know of a block without unpacking its records."""

    seq: int
    """Place among all blocks of all partitions, from 1: the order of appending."""
    time_s: float
    size_before: int
    """Bytes of payload ever appended to this partition before this block."""
    size_bytes: int
    count: int


class Block(BlockHead, array_like=True, frozen=True, gc=False):
    """Contiguous records of one partition, written at once. The offset of the first is its key."""

    payloads: list[bytes]
    keys: list[bytes | None] | None = None


_ENCODER = msgspec.msgpack.Encoder()
_BLOCK = msgspec.msgpack.Decoder(Block)
_HEAD = msgspec.msgpack.Decoder(BlockHead)
_KEY = struct.Struct(">HQ")


def block_key(partition: int, offset: int) -> bytes:
    """Keys sort as (partition, offset) does.

    >>> block_key(1, 2).hex()
    '00010000000000000002'
    """
    return _KEY.pack(partition, offset)


def offset_of(key: bytes) -> int:
    offset: int = _KEY.unpack(key)[1]
    return offset


def encode(block: Block) -> bytes:
    return _ENCODER.encode(block)


def decode(value: bytes) -> Block:
    """Raises SourceError where the bytes are no block."""
    try:
        block = _BLOCK.decode(value)
    except msgspec.DecodeError as error:
        raise SourceError(f"a block of {len(value)} bytes cannot be decoded: {error}") from error
    if len(block.payloads) != block.count:
        raise SourceError(f"a block says {block.count} records and holds {len(block.payloads)}")
    return block


def decode_head(value: bytes) -> BlockHead:
    try:
        return _HEAD.decode(value)
    except msgspec.DecodeError as error:
        raise SourceError(f"a block of {len(value)} bytes cannot be decoded: {error}") from error


def cuts(payloads: Sequence[bytes]) -> Iterator[slice]:
    """Where to cut records into blocks: at most MAX_RECORDS and MAX_BYTES each, a larger record alone.

    >>> list(cuts([b"x"] * 1030))
    [slice(0, 1024, None), slice(1024, 1030, None)]
    """
    begin = size = 0
    for index, payload in enumerate(payloads):
        if index > begin and (index - begin == MAX_RECORDS or size + len(payload) > MAX_BYTES):
            yield slice(begin, index)
            begin, size = index, 0
        size += len(payload)
    if payloads:
        yield slice(begin, len(payloads))


def start_key(partition: int) -> bytes:
    """Where the first offset kept of a partition is noted."""
    return _START + partition.to_bytes(2, "big")


class Changes:
    """What is written at once: ranges of keys that go, then values by key."""

    def __init__(self) -> None:
        self.gone: list[tuple[bytes, bytes]] = []
        self.puts: dict[bytes, bytes] = {}

    def forget(self, partition: int, begin: int, end: int) -> None:
        """Drop the blocks from `begin` to `end`, which becomes the start."""
        self.gone.append((block_key(partition, begin), block_key(partition, end)))
        self.puts[start_key(partition)] = end.to_bytes(8, "big")
