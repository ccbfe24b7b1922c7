"""
Has the ledger let go of what is too old: reservations, creates that were allowed in memory, grants of those who are
gone, and marks of edits.

Age alone ends nothing: a quorum read after that time has to find that it was not stored.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from webhook.ledger.lookups import Lookups
from webhook.ledger.own_grant import VALID_FOR
from webhook.ledger.replica_view import ReplicaView
from webhook.ledger.stored_ledger import StoredLedger
from webhook.ports import StoredPolicies
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.reservation import Reservation

_READS_AT_ONCE = 16
"""Keys looked up at once when many reservations expire together. One by one, a hundred take a second."""


@dataclass(frozen=True, slots=True)
class Expirations:
    """
    What is too old after `expiry_seconds`, for one replica, which charges `charged`.

    The view changes under `lock`, so never during a swap. The next swap takes out what was released.
    """

    stored_ledger: StoredLedger
    lock: asyncio.Lock
    expiry_seconds: float
    charged: Sequence[str]
    stored_policies: StoredPolicies

    @property
    def _view(self) -> ReplicaView:
        return self.stored_ledger.view

    @property
    def is_age_due(self) -> bool:
        """Whether to write ages with no other change, so that a crash of all replicas loses two seconds of them."""
        view = self._view
        old_grants = view.grants.expirable(view.ledger, self.stored_ledger.waited(), after_ms=VALID_FOR * 1000)
        waiting = chain(view.order.open_marks(view.ledger), view.live(), old_grants)
        return self.stored_ledger.is_age_due and any(True for _ in waiting)

    async def run(self, lookups: Lookups) -> tuple[Reservation, ...]:
        """Release all that is too old, and is not stored; return the reservations and creates among it."""
        expired = (*await self._reservations(lookups), *await self._allowed_in_memory(lookups))
        await self._grants(lookups)
        await self._marks(lookups)
        return expired

    async def _reservations(self, lookups: Lookups) -> list[Reservation]:
        """Release reservations; a merged one of that age even if an object is stored."""
        waited = self.stored_ledger.waited()
        old: dict[ObjectKey, list[tuple[str, Reservation]]] = defaultdict(list)
        for token, reservation in self._view.expirable():
            if waited[token] >= self.expiry_seconds * 1000:
                old[reservation.key].append((token, reservation))
        expired: list[Reservation] = []
        async for found in _looked_up(old, lookups):
            # If a request was repeated during the read, it has a new token by now: `expire` ignores the old one.
            async with self.lock:
                for key, stored in found.items():
                    expired += [each for token, each in old[key] if self._view.expire(token, found=stored)]
        return expired

    async def _allowed_in_memory(self, lookups: Lookups) -> list[Reservation]:
        old = {each.reservation.key: each for each in self._view.grants.old(self.expiry_seconds)}
        expired: list[Reservation] = []
        async for found in _looked_up(old, lookups):
            async with self.lock:
                gone = [old[key] for key, stored in found.items() if self._view.expire_granted(old[key], found=stored)]
                expired += [each.reservation for each in gone]
        return expired

    async def _grants(self, lookups: Lookups) -> None:
        """Take out grants of others once nothing can be stored any more that was allowed under them."""
        after_ms = (VALID_FOR + self.expiry_seconds) * 1000
        grants = self._view.grants
        tokens = grants.expirable(self._view.ledger, self.stored_ledger.waited(), after_ms=after_ms)
        if not tokens:
            return
        newest = await lookups.newest(self.charged)
        if newest.keys() >= set(self.charged):
            for token in tokens:
                grants.expire(token, newest)

    async def _marks(self, lookups: Lookups) -> None:
        """Take out marks whose edits are not stored."""
        waited, order = self.stored_ledger.waited(), self._view.order
        old = {
            token: edit
            for token, edit in order.open_marks(self._view.ledger)
            if waited.get(token, 0) >= self.expiry_seconds * 1000
        }
        for token in await lookups.unstored(old, self.stored_policies):
            order.unmark(token)


async def _looked_up(
    keys: Collection[ObjectKey], lookups: Lookups
) -> AsyncIterator[Mapping[ObjectKey, StoredVersion | None]]:
    """Yield what is stored under *keys*, some of them at a time; without those that cannot be read."""
    listed = list(keys)
    for start in range(0, len(listed), _READS_AT_ONCE):
        yield await lookups.stored(listed[start : start + _READS_AT_ONCE])
