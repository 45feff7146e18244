"""Run as a process of its own, to be killed: appends to the log in argv[1] and reports on stdout what was acknowledged.

It kills itself (SIGKILL) after argv[3] acknowledgements, where that is not 0: whoever reads them may come too late.
Every call appends `count` records "call:place:count"; a line "call partition first count" follows each acknowledgement.
"""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Iterator

from stream_app.sources.embedded_log import EmbeddedLog

TASKS = 6


async def append_forever(log: EmbeddedLog, task: int, first_call: int, left: Iterator[int]) -> None:
    call = first_call + task
    while True:
        count = call * 7919 % 40 + 1
        payloads = [b"%d:%d:%d:" % (call, place, count) + b"x" * (call * 31 % 3000) for place in range(count)]
        for partition, offsets in (await log.append(payloads)).items():
            os.write(1, b"%d %d %d %d\n" % (call, partition, offsets.start, len(offsets)))
            if not next(left):
                os.kill(os.getpid(), signal.SIGKILL)
        call += TASKS


async def main() -> None:
    log = EmbeddedLog(sys.argv[1], partitions=2)
    os.write(1, b"open\n")
    first_call, left = int(sys.argv[2]), itertools.count(int(sys.argv[3]) - 1, -1)
    await asyncio.gather(*(append_forever(log, task, first_call, left) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main())
