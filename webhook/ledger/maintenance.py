"""
Runs the periodic work of a ledger: it lets go of reservations whose objects were never stored, see `expirations`.

A reservation whose object is stored is settled elsewhere: by the usage index, in the event that shows the object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from webhook.ports import LedgerStore, QuorumReader, Sleep, UnavailableError

_PERIOD = 1.0
"""Seconds. Reservations are held for 40; one more or less does no harm."""


async def maintain_forever(
    ledger: LedgerStore,
    quorum: QuorumReader,
    *,
    on_expired: Callable[[int], None],
    on_error: Callable[[UnavailableError], None],
    sleep: Sleep = asyncio.sleep,
) -> NoReturn:
    """
    Run `LedgerStore.maintain` every second until cancelled.

    What cannot be read is not let go: holding too much refuses a request, holding too little overcommits. *on_expired*
    is called with the number of reservations that were let go, *on_error* with each failure.

    Raises: StoreRestoredError once the ledger shows that the store went back in time. The process has to end then.
    """
    while True:
        done = await ledger.maintain(quorum=quorum)
        on_expired(len(done.expired))
        for error in done.failures:
            on_error(error)
        await sleep(_PERIOD)
