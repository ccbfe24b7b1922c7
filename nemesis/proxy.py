"""
`python -m nemesis.proxy TARGET FILE [PORT]`: a proxy in front of an API server or of etcd, as a process.

SIGUSR1: stall the present connections, both ways, without closing them; later connections work. So a replica goes on
writing while its watches show nothing new. SIGUSR2: continue the stalled connections. SIGHUP: reset all connections.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.proxy import Proxy

STALL, FLOW, CUT = signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP


async def main(target: str, told_in: Path, port: int = 0) -> None:
    """Forward connections to *target* until killed; the proxy writes its own URL to a file."""
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
