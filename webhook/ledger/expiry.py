"""
Have the ledger let go of reservations whose objects were never stored.

A reservation whose object is stored is settled elsewhere: by the usage index, in the event that shows the object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
) -> None:
    """
    Run `LedgerStore.maintain` every second until cancelled.

    While the API cannot be read nothing is let go: holding too much refuses a request, holding too little overcommits.
    *on_expired* is called with the number of reservations that were let go, *on_error* where the API could not be read.
    """
    while True:
        try:
            expired = await ledger.maintain(quorum=quorum)
        except UnavailableError as error:
            on_error(error)
        else:
            on_expired(len(expired))
        await sleep(_PERIOD)
