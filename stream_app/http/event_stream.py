"""Server-sent events: one answer that goes on while its client reads, and ends with the service."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from stream_app.http.replies import SERVICE, Overloaded
from stream_app.service import Service
from stream_app.watch import Listener, Seen

MOST_STREAMS = 64
PATIENCE_S = 10.0
"""How long a client may take to read one event; it is dropped then."""

LOOKS_S = 1.0
"""How often a stream that waits looks whether the service stops."""


async def streamed(request: web.Request, data_of: Callable[[Seen], bytes]) -> web.StreamResponse:
    """An event for each frame, at once and then once a second, until the client is gone, or the service stops.

    Frames wait for a client in a short queue; a slower one is dropped. Raises Overloaded where MOST_STREAMS are open.
    """
    service, listener = request.app[SERVICE], Listener()
    if service.streams_open >= MOST_STREAMS:
        raise Overloaded(f"{MOST_STREAMS} streams are open: close one")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    # It waits rather than works: others are not held up by it, nor is learning.
    service.requests_under_way -= 1
    service.streams_open += 1
    listener.tell(service.watch.seen)  # before it listens: making the first frame tells it to all who do
    service.watch.listeners.add(listener)
    try:
        await _follow(service, listener, response, data_of)
    finally:
        service.requests_under_way += 1
        service.streams_open -= 1
        service.watch.listeners.discard(listener)
    return response


async def _follow(
    service: Service, listener: Listener, response: web.StreamResponse, data_of: Callable[[Seen], bytes]
) -> None:
    while not service.is_stopping and not listener.is_dropped:
        try:
            seen = await asyncio.wait_for(listener.frames.get(), LOOKS_S)
        except TimeoutError:
            continue
        try:
            await asyncio.wait_for(response.write(b"data: " + data_of(seen) + b"\n\n"), PATIENCE_S)
        except (ConnectionError, TimeoutError):
            return
