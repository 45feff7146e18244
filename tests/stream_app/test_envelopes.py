"""Envelopes: a micro-batch of them is thousands of events, and whoever asks meanwhile need not wait for all of them."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from weir_process import synthetic

from stream_app.service import PIECE_BYTES, Service
from stream_app.sources.batches import pieces
from stream_app.sources.source import Records

ENVELOPES = 8


async def test_requests_are_served_between_the_envelopes_of_one_micro_batch(settings_in) -> None:
    envelopes = [b"\n".join(synthetic(1000, first=1000 * number)) for number in range(ENVELOPES)]
    assert all(PIECE_BYTES / 2 < len(envelope) < PIECE_BYTES for envelope in envelopes)
    service = Service(settings_in())
    await service.source.append(envelopes)
    learning = asyncio.create_task(service.run())
    seen = set()
    while service.lag:
        seen.add(service.trainer.position.get(0, 0))
        await asyncio.sleep(0)
    service.stop()
    await learning
    assert seen == set(range(ENVELOPES))
    assert service.status()["examples"] == 1000 * ENVELOPES
    await service.close()


@given(st.lists(st.binary(max_size=5), min_size=1), st.integers(1, 20))
def test_pieces_are_the_same_records_in_order_each_within_the_bound_or_one_record(
    payloads: list[bytes], most_bytes: int
) -> None:
    found = list(pieces(Records(3, 100, payloads, 1.5), most_bytes))
    assert [payload for piece in found for payload in piece.payloads] == payloads
    ends = [100, *[piece.offset + len(piece.payloads) for piece in found]]
    assert [piece.offset for piece in found] == ends[:-1]
    assert {(piece.partition, piece.time_s) for piece in found} == {(3, 1.5)}
    assert all(len(piece.payloads) == 1 or sum(map(len, piece.payloads)) <= most_bytes for piece in found)
    assert all(piece.payloads for piece in found)
