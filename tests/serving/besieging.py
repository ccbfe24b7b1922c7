"""
Callers that ask at a fixed rate, whatever becomes of their calls: `python -m tests.serving.besieging PORT CA …`.

A process of its own, as it has to send while the server is at work. Prints one line of JSON for each call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import time
from pathlib import Path

from tests.serving.stage import REVIEW, read_reply

DRY_RUN = REVIEW[:-2] + b',"dryRun":true}}'


async def besiege(
    port: int, authority: str, *, callers: int, rate: float, seconds: float, timeout_seconds: int
) -> None:
    """Send with *callers* at most at once; every fourth review is a dry-run. A caller keeps its connection."""
    tls = ssl.create_default_context(cafile=authority)
    idle: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
    for _ in range(callers):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1"))
    head = f"POST /validate?timeout={timeout_seconds}s HTTP/1.1\r\nHost: h\r\nContent-Length: "

    async def call(number: int) -> None:
        body = DRY_RUN if number % 4 == 0 else REVIEW
        reader, writer = idle.get_nowait()
        asked, status = time.monotonic(), 0
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            async with asyncio.timeout(timeout_seconds):
                answered, _ = await read_reply(reader)
            status = int(answered.split()[1])
            if b"connection: close" in answered.lower():
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1")
            idle.put_nowait((reader, writer))
        took = time.monotonic() - asked
        told = {"status": status, "seconds": took, "dryRun": body is DRY_RUN, "asked": asked - begun}
        sys.stdout.write(json.dumps(told) + "\n")

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            if not idle.empty():
                group.create_task(call(number))


if __name__ == "__main__":
    _, given_port, ca, *numbers = sys.argv
    most, a_second, for_seconds, wait = map(float, numbers)
    assert Path(ca).is_file()
    asyncio.run(
        besiege(int(given_port), ca, callers=int(most), rate=a_second, seconds=for_seconds, timeout_seconds=int(wait))
    )
