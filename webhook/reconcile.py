"""
The background path: reservations that nothing came of are let go, accounts follow the policy and the namespaces, the
book is compared with the API, and the API with its own past.

Settling is not here: the book does it in the very event that shows the object.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn, Protocol

from webhook.ports import HistoryRewrittenError, LedgerStore, NotReadyError, QuorumReader
from webhook.quota import drift
from webhook.quota.book import Bind, Book
from webhook.quota.policy import Policy, subjects
from webhook.quota.subject import Payer, Subject

_PERIOD = 1.0
"""Seconds. Reservations live 40; a second more or less hurts nobody."""

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

_BETWEEN_LOOKS = 10.0
"""Seconds. A restore takes longer, API servers stopped and started again: a look in between fails."""

_LATELY = 20.0
"""Seconds since the last good look began, until which one may decide: a look may be late by its own time-out."""

Sleep = Callable[[float], Awaitable[None]]


def binding(policy: Policy, labels_of: Callable[[str], Mapping[str, str]]) -> Bind:
    """Give on whose accounts objects are booked, under *policy* and with the labels that namespaces have now."""

    def bind(payer: Payer, namespace: str) -> tuple[Subject, ...]:
        return subjects(policy, payer, namespace, labels_of(namespace))

    return bind


async def tend_forever(
    ledger: LedgerStore,
    quorum: QuorumReader,
    *,
    on_expired: Callable[[int], None],
    on_trouble: Callable[[NotReadyError], None],
    sleep: Sleep = asyncio.sleep,
) -> None:
    """
    Have the ledger do every second what time brings, until cancelled.

    While the API cannot be read nothing is let go: too much held refuses somebody, too little overcommits.
    """
    while True:
        try:
            expired = await ledger.tend(quorum=quorum)
        except NotReadyError as error:
            on_trouble(error)
        else:
            on_expired(len(expired))
        await sleep(_PERIOD)


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


class HistoryCheck:
    """
    Looks whether the API still has the history that was seen. A store that was restored from a backup has not.

    A watch cannot tell: it waits in silence for a version that is yet to come, while the book shows objects that never
    were and lacks others. So nothing may be decided by the book unless somebody has looked lately.
    """

    def __init__(
        self,
        version_now: Callable[[], Awaitable[int]],
        *,
        seen: Callable[[], int],
        monotonic: Callable[[], float],
        on_trouble: Callable[[NotReadyError], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """*version_now* gives what the store is at, past every cache; *seen* how far the book is."""
        self._version_now = version_now
        self._seen = seen
        self._monotonic = monotonic
        self._on_trouble = on_trouble
        self._sleep = sleep
        self._newest = 0
        self._looked_at = -math.inf
        self._trouble = ""

    def trouble(self) -> str:
        """Say why the book may be of a history that never was, empty if it is not."""
        if not self._trouble and self._monotonic() - self._looked_at > _LATELY:
            return "whether the API still has the history that was seen was not looked at lately"
        return self._trouble

    async def run(self) -> NoReturn:
        """
        Look until cancelled.

        Raises: HistoryRewrittenError, after which nothing of this process is of use.
        """
        while True:
            begun = self._monotonic()
            known = max(self._newest, self._seen())
            try:
                now = await self._version_now()
            except NotReadyError as error:
                self._trouble = f"whether the API still has the history that was seen is not known: {error}"
                self._on_trouble(error)
                await self._sleep(_PERIOD)
                continue
            if now < known:
                rewritten = HistoryRewrittenError(f"the store was at version {known} and is at {now}")
                self._trouble = str(rewritten)
                raise rewritten
            self._newest, self._looked_at, self._trouble = now, begun, ""
            await self._sleep(_BETWEEN_LOOKS)
