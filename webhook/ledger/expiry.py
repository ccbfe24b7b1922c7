"""
Reservations that nothing came of are let go.

Settling is not here: the book does it in the very event that shows the object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from webhook.ports import LedgerStore, QuorumReader, Sleep, UnavailableError

_PERIOD = 1.0
"""Seconds. Reservations live 40; a second more or less hurts nobody."""


async def maintain_forever(
    ledger: LedgerStore,
    quorum: QuorumReader,
    *,
    on_expired: Callable[[int], None],
    on_trouble: Callable[[UnavailableError], None],
    sleep: Sleep = asyncio.sleep,
) -> None:
    """
    Have the ledger do every second what time brings, until cancelled.

    While the API cannot be read nothing is let go: too much held refuses somebody, too little overcommits.
    """
    while True:
        try:
            expired = await ledger.maintain(quorum=quorum)
        except UnavailableError as error:
            on_trouble(error)
        else:
            on_expired(len(expired))
        await sleep(_PERIOD)
