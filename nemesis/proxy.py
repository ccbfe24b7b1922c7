"""
`python -m nemesis.proxy TARGET FILE [PORT]`: a proxy in front of an API server or of etcd, as a process.

SIGUSR1: what is connected now stands still, both ways, without being closed; connections made later work. So a replica
goes on writing while its watches show nothing new. SIGUSR2: what stood still goes on. SIGHUP: everything is reset.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.proxy import Proxy

STALL, FLOW, CUT = signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP


async def main(target: str, told_in: Path, port: int = 0) -> None:
    """Pass connections on to *target* until killed; the proxy's own URL is told in a file."""
    async with Proxy(target, port=port) as proxy:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(STALL, proxy.stall)
        loop.add_signal_handler(FLOW, proxy.flow)
        loop.add_signal_handler(CUT, proxy.cut)
        unfinished = told_in.with_suffix(".unfinished")
        unfinished.write_text(proxy.url)
        unfinished.replace(told_in)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
