"""
The ledger of one replica, in its memory: the usage index and what is in flight.

Exact while the process runs. What was allowed and not yet persisted when it dies is forgotten; the shared ledger is
not (docs/consistency.md). The watches update the index, not this module.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from functools import partial

from webhook.ledger.lookups import Lookups
from webhook.ledger.promise_order import PromiseOrder, retry_while_promises_change
from webhook.ledger.protocol import Ledger
from webhook.ledger.stored_object import is_left_out, is_stored
from webhook.ledger.unstored import UnstoredSeries
from webhook.ports import Condition, Decide, Maintenance, NoPolicies, QuorumReader, StoredPolicies, UnavailableError
from webhook.quota.decision import Allowed, Decision
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import LONGEST_REQUEST, SLOP, Attempt, Charge, Reservation
from webhook.quota.usage import Row, UsageIndex


class MemoryLedger:
    """
    A `LedgerStore` that one replica writes to.

    There is no `await` between reading the index, deciding and reserving: the event loop is the lock.
    """

    def __init__(  # noqa: PLR0913 - one ledger needs all of it, and only wiring calls this
        self,
        index: UsageIndex,
        *,
        monotonic: Callable[[], float],
        api_time: Callable[[], float],
        in_step: Callable[[], Condition],
        expiry_seconds: float = LONGEST_REQUEST + SLOP,
        stored_policies: StoredPolicies | None = None,
    ) -> None:
        """
        Reserve on *index*.

        A reservation is held for at least *expiry_seconds* by *api_time*, which stops while an API server stands still,
        unless its object is seen first. *in_step* tells whether the index shows what exists. A watch that has fallen
        behind since is safe: what was allowed stays held until it is seen, what was deleted stays charged.
        *stored_policies* reads what edits of the policy have become, where that is in ConfigMaps.
        """
        self._index = index
        self._monotonic = monotonic
        self._api_time = api_time
        self._in_step = in_step
        self._expiry_seconds = expiry_seconds
        self._held_since: dict[Attempt, float] = {}
        self._series = UnstoredSeries()
        self._stored_policies = stored_policies or NoPolicies()
        self._order = PromiseOrder(new_token=lambda: secrets.token_hex(8), counted_since=lambda: index.promised_since)
        self._marks = Ledger("memory", is_open=True)
        self._marked_since: dict[str, float] = {}

    async def transact(
        self,
        charge: Charge,  # noqa: ARG002 - a shared store needs it to limit each owner
        decide: Decide,
        *,
        dry_run: bool,
        deadline: float,
    ) -> Decision:
        """Decide and reserve, in one step. See `Transactions.transact`."""
        decided = partial(self._transact, decide, dry_run=dry_run, deadline=deadline)
        return await retry_while_promises_change(decided, deadline=deadline, monotonic=self._monotonic)

    async def _transact(self, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        if not (condition := self._in_step()).ok:
            raise UnavailableError(condition.reason, condition.message)
        if self._monotonic() >= deadline:
            raise UnavailableError("deadline", "the time for an answer was over before the decision")
        decision = decide(self._index)
        if isinstance(decision, Allowed) and decision.reservation is not None and not dry_run:
            self._hold_on(decision.reservation)
        return decision

    def settled(self, reservations: Iterable[Reservation], *, seen_at: int) -> None:  # noqa: ARG002 - no other replica
        """Record which series of creates come to something. See `LedgerStore.settled`."""
        for each in reservations:
            self._series.released(each)
            self._series.was_stored(each)

    def counted_anew(self) -> None:
        """Do nothing: each decision counts anew. See `LedgerStore.counted_anew`."""

    async def give_back(self) -> None:
        """Do nothing: nothing is taken for later. See `LedgerStore.give_back`."""

    async def mark(self, edit: MarkedEdit, *, since: datetime | None, deadline: float) -> str:  # noqa: ARG002 - at once
        """Decide nothing on what is promised until *edit* is over. See `PromiseOrdering.mark`."""
        if not (condition := self._in_step()).ok:
            raise UnavailableError(condition.reason, condition.message)
        self._order.check_may_mark(self._marks)
        token = self._order.mark(edit, since=since)
        self._marked_since[token] = self._api_time()
        self._follow()
        return token

    async def unmark(self, token: str) -> None:
        """Go on: the edit was refused."""
        self._order.unmark(token)
        self._follow()

    def policy_seen(self, seen: Mapping[str, StoredVersion], *, version: int) -> None:
        """Record what is stored. See `PromiseOrdering.policy_seen`."""
        self._order.policy_seen(seen, version=version)

    def policy_in_force(self, seen: Mapping[str, StoredVersion] | None, *, version: int, changed_at: int) -> None:
        """Record the policy that is in force. See `PromiseOrdering.policy_in_force`."""
        self._order.policy_in_force(seen, version=version, changed_at=changed_at)
        self._follow()

    def at_rest(self) -> AbstractAsyncContextManager[None]:
        """Return what may be entered at any time: a decision holds at once. See `PromiseOrdering.at_rest`."""
        return nullcontext()

    def require_no_open_edit(self) -> None:
        """Check that nothing that is promised is being edited. Raises: PromisesChangingError."""
        self._order.require_no_open_edit(self._marks)

    def time(self, now: datetime) -> datetime:
        """Return *now*, or a later time by which promises have begun and ended already: a clock was set back."""
        return self._order.time(self._marks, now)

    def _follow(self) -> None:
        self._marks = self._order.following(self._marks)
        self._order.take_in(self._marks)
        self._marked_since = {token: self._marked_since[token] for token in self._marks.edits}

    async def maintain(self, *, quorum: QuorumReader) -> Maintenance:
        """
        Release what can no longer be persisted and is not stored. See `LedgerStore.maintain`.

        The reservation of a stored object stays until the watch shows the object, or has passed it and left it out.
        """
        now = self._api_time()
        in_flight = {each.attempt: each for each in self._index.reservations()}
        self._held_since = {attempt: self._held_since.get(attempt, now) for attempt in in_flight}
        old: dict[ObjectKey, list[Attempt]] = defaultdict(list)
        for attempt, since in self._held_since.items():
            if now - since >= self._expiry_seconds:
                key, *_ = attempt
                old[key].append(attempt)
        expired: list[Reservation] = []
        lookups = Lookups(quorum)
        for key, attempts in old.items():
            for found in (await lookups.stored([key])).values():
                # What was allowed once more during the read may still be persisted.
                still_old = [each for each in attempts if now - self._held_since.get(each, now) >= self._expiry_seconds]
                expired += self._expire([in_flight[each] for each in still_old], found)
        overdue = {
            token: edit
            for token, edit in self._marks.edits.items()
            if now - self._marked_since[token] >= self._expiry_seconds
        }
        for token in await lookups.unstored(overdue, self._stored_policies):
            self._order.unmark(token)
        self._follow()
        return Maintenance(tuple(expired), lookups.failures)

    def _expire(self, old: list[Reservation], found: StoredVersion | None) -> list[Reservation]:
        """Release those of *old*, all under one key, that hold nothing any more; return those that came to nothing."""
        dead = [each for each in old if not is_stored(each, found)]
        left_out = [each for each in old if found and is_stored(each, found) and is_left_out(each, found, self._index)]
        self._index.drop(*dead, *left_out)
        self.settled(left_out, seen_at=0)
        for each in dead:
            self._series.released(each)
            self._series.came_to_nothing(each)
        return dead

    def _hold_on(self, reservation: Reservation) -> None:
        attempt = reservation.attempt
        if attempt not in self._held_since:
            self._series.check(reservation)
            self._series.held(reservation)
        self._held_since[attempt] = self._api_time()
        self._index.reserve(reservation)


class StandaloneLedger(MemoryLedger):
    """
    A ledger without a cluster: what it allowed counts as existing until its deletion is asked for.

    For trying things out. It sees no objects, so that it cannot repair itself.
    """

    async def maintain(self, *, quorum: QuorumReader) -> Maintenance:  # noqa: ARG002 - nothing to look up
        """Do nothing: nothing is ever in flight."""
        return Maintenance()

    def on_delete(self, key: ObjectKey, uid: str) -> None:
        """Release what the object used: its deletion was asked for, and there is no watch to show it."""
        version = self._index.position(key.resource) + 1
        self._index.forget(key, uid, version)
        self._index.reached(key.resource, version)

    def _hold_on(self, reservation: Reservation) -> None:
        key = reservation.key
        version = max(self._index.position(key.resource), reservation.base) + 1
        self._index.observe(
            key, Row(reservation.uid, version, reservation.payer, reservation.amounts, reservation.scopes)
        )
        self._index.reached(key.resource, version)
