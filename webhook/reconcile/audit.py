"""The book is compared with the API."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from webhook.ports import NotReadyError, QuorumReader
from webhook.quota import drift
from webhook.quota.book import Book
from webhook.reconcile.pauses import Sleep

_BETWEEN_AUDITS = 600.0
"""
Seconds. A watch that works tells everything, so that only a defect is looked for; ten minutes bound how long one lasts,
and a list of 20 000 pods' metadata each ten minutes is less than a controller's usual resync.
"""

_LOOKS: Final = (2.0, *(15.0,) * 10)
"""
Seconds before each look at what is suspected. What is merely late is over after two. On a quiet cluster a bookmark
tells how far the watch has come, once a minute; the second one comes within 152 seconds in any case.
"""

_MOST_SUSPECTED = 200
"""Suspicions that are looked into at once. One that holds is enough to have everything listed anew."""


class Lister(Protocol):
    """All objects that have to be on the book, past every cache."""

    async def listing(self, resource: str) -> drift.Listing:
        """Give those of *resource* as they were at one version. Raises: NotReadyError."""


async def find_drift(
    book: Book, resource: str, *, lister: Lister, quorum: QuorumReader, sleep: Sleep = asyncio.sleep
) -> tuple[drift.Suspicion, ...]:
    """
    Give where *book* differs from what the API has, confirmed by a second look: the first few, one list repairs all.

    What stays open for minutes because the watch does not move is left to the next audit. Raises: NotReadyError.
    """
    listing = await lister.listing(resource)
    # Elsewhere, because 20 000 pods take 50 ms, in which nobody would be answered.
    suspected = await asyncio.to_thread(drift.suspicions, drift.snapshot(book, resource), listing)
    suspected = suspected[:_MOST_SUSPECTED]
    found: list[drift.Suspicion] = []
    for pause in _LOOKS:
        if found or not suspected:
            break
        await sleep(pause)
        still_open: list[drift.Suspicion] = []
        for each in suspected:
            seen = drift.look(book, each)
            verdict = drift.judge(each, seen, await quorum.version_of(each.slot))
            if verdict is drift.Verdict.DRIFT:
                found.append(each)
            elif verdict is drift.Verdict.OPEN:
                still_open.append(each)
        suspected = tuple(still_open)
    return tuple(found)


async def audit_forever(
    audit: Callable[[], Awaitable[None]],
    *,
    on_trouble: Callable[[NotReadyError], None],
    sleep: Sleep = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Have the book compared every ten minutes or so, not by all replicas at once, until cancelled."""
    while True:
        await sleep(_BETWEEN_AUDITS * (0.75 + jitter() / 2))
        try:
            await audit()
        except NotReadyError as error:
            on_trouble(error)
