import pytest
from source_reading import payloads_of, read_until_idle

from stream_app.sources.memory import CRASH, Crash, MemorySource


async def test_a_crash_comes_after_all_records_before_it_and_only_once() -> None:
    source = MemorySource([b"a", b"b", CRASH, b"c"], is_bounded=True)
    reading = source.read({})
    assert (await anext(reading)).payloads == [b"a", b"b"]
    with pytest.raises(Crash, match="0:2"):
        await anext(reading)
    assert payloads_of(await read_until_idle(source, {0: 1})) == {0: [b"b", b"c"]}
    assert source.end() == {0: 3}


@pytest.mark.parametrize("payloads", [[CRASH, b"a"], [b"a", CRASH], [CRASH]])
async def test_a_crash_may_be_first_or_last(payloads: list[bytes]) -> None:
    source = MemorySource(payloads, is_bounded=True)
    with pytest.raises(Crash):
        await read_until_idle(source, {})
    assert payloads_of(await read_until_idle(source, {})).get(0, []) == [b"a"] * (len(payloads) - 1)


async def test_a_crash_may_lie_in_an_order_and_in_any_partition() -> None:
    source = MemorySource(partitions=2)
    await source.append([b"a"])
    await source.append([b"b", CRASH, b"c"])
    with pytest.raises(Crash, match="1:1"):
        await read_until_idle(source, {}, [(1, 2), (0, 1)])
    assert payloads_of(await read_until_idle(source, {}, [(1, 2), (0, 1)])) == {0: [b"a"], 1: [b"b", b"c"]}


async def test_a_record_that_looks_like_a_crash_is_a_record() -> None:
    source = MemorySource([bytes(bytearray(CRASH))], is_bounded=True)
    assert payloads_of(await read_until_idle(source, {})) == {0: [b"CRASH"]}
