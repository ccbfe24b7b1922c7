"""
Where the event loop stands still, for whoever asks why a replica was restarted.

The kubelet restarts a replica that does not answer, and nothing of it is left but its log.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import time

import structlog

log = structlog.get_logger(__name__)

STANDSTILL_SECONDS = 5.0
"""More than any step of the loop takes, and less than the 30 after which the kubelet restarts the container."""

_BEAT_SECONDS = 1.0


async def watch_for_standstill(seconds: float = STANDSTILL_SECONDS) -> None:
    """
    Run for ever: write to stderr where each thread is, whenever the loop does not come round for *seconds*.

    faulthandler does so from a thread of its own that needs no lock of Python's, so that it also tells of a step that
    holds the lock. When the loop goes on, the log has how long it stood still.
    """
    seen = time.monotonic()
    try:
        while True:
            faulthandler.dump_traceback_later(seconds, file=sys.stderr)
            await asyncio.sleep(min(_BEAT_SECONDS, seconds / 2))
            now = time.monotonic()
            if now - seen > seconds:
                log.warning("the event loop stood still", seconds=round(now - seen, 1))
            seen = now
    finally:
        faulthandler.cancel_dump_traceback_later()
