"""
One replica's view of the shared ledger.

It counts each reservation in the usage index until our watch shows its object or it leaves the ledger.

No I/O and no clock. `stored_ledger` reads and swaps versions of the ledger. The package's docstring has the words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from webhook.ledger.grants import Grants
from webhook.ledger.own_grant import Charged
from webhook.ledger.promise_order import PromiseOrder
from webhook.ledger.protocol import Ledger
from webhook.ledger.stored_object import is_left_out, is_stored
from webhook.ledger.unstored import UnstoredSeries
from webhook.quota.decision import Allowed, Decision, Denied, exceeded_limits
from webhook.quota.demand import LimitKey
from webhook.quota.limits import Limit
from webhook.quota.objects import StoredVersion
from webhook.quota.policy import Mode
from webhook.quota.reservation import CREATED, Attempt, Charge, Reservation, covering
from webhook.quota.resources import Amount
from webhook.quota.usage import UsageIndex, UsageView

MOST_PER_NAME = 8
"""
Reservations for creates of one name and account. With one more, the two oldest are merged into one without a uid, so
that a loop of creates of one name never writes more than this for each account.
"""

MERGED_UID = ""
"""The uid of a merged reservation, which is for several creates of one name. It only expires; nothing settles it."""

_MOST_VANISHED = 256
"""
Reservations that another replica removed and that may have expired, kept until the next decision. The outcome of
further ones is not looked at: their series stays as it is, see `unstored`.
"""

_SURELY_STORED_BELOW_MS = 20_000
"""
Milliseconds. A reservation younger than this that another replica removed was stored: none expires so young. Half of
`expiry_seconds` is left for age that this replica did not observe.
"""


class WatchTarget(NamedTuple):
    """
    The position that the watch of a resource has to reach.

    `version` is None while that is not known: neither the replica that opened the lost ledger nor this one has read the
    newest version of the resource, see `set_newest`.
    """

    resource: str
    version: int | None


@dataclass(frozen=True, slots=True)
class _Tentative:
    """
    A reservation that the next swap writes, and the ledger's tokens that it replaces.

    `was_granted`: until then the grant of this replica stands for it.
    """

    reservation: Reservation
    replaces: tuple[str, ...]
    was_granted: bool = False


class ReplicaView:
    """
    The shared ledger as last read, counted in the usage index of this replica.

    The index counts each reservation, and each create that this replica allowed in memory, as a reservation or as an
    object. While it may count one as neither, no decision may be made on the ledger: `unreached_target` returns the
    watch to wait for. What the own grant has room for was set aside before, and does not wait.

    The order of calls: `take_in` a version; `hold` any number of reservations; `next_version`; then either `written`,
    or `lost` and `undo`. Nothing may be taken in while something is tentative. `settle` may come at any time, during a
    swap as well, and so may `allow_in_memory`, which holds a reservation under the grant of this replica.

    Each token of the ledger is in one of three states:

    * It is counted. `_token_by_attempt` has it under its attempt.
    * It is to be removed by the next swap. `_to_remove` has it with the version that the watches of other replicas must
      reach; 0 if they need not wait.
    * A tentative reservation replaces it, and is counted instead.

    A token that is replaced is to be removed as well if the tentative reservation is settled during its swap: should
    the swap be lost, the object has been seen all the same.
    """

    def __init__(
        self, index: UsageIndex, *, charged: Collection[str], new_token: Callable[[], str], grants: Grants
    ) -> None:
        """
        Keep *index*; *new_token* returns a text that no replica has ever used, and *grants* are of this replica alone.

        *charged* are the resources that this replica watches. A newer replica may charge others as well: what the
        ledger says of those is counted, and otherwise left alone.
        """
        self._charged = charged
        self._read_since_loss: set[str] = set()
        self._index = index
        self._new_token = new_token
        self._ledger = Ledger("", is_open=False)
        self.grants = grants
        self.order = PromiseOrder(new_token=new_token, counted_since=lambda: index.promised_since)
        self._token_by_attempt: dict[Attempt, str] = {}
        self._to_remove: dict[str, int] = {}
        self._tentative: dict[str, _Tentative] = {}
        self._by_owner: Counter[str] = Counter()
        self._required_positions: dict[str, int] = {}
        self._series = UnstoredSeries()
        self._vanished: list[Reservation] = []

    # Queries.

    @property
    def ledger(self) -> Ledger:
        """The present version: the one that `take_in` or `written` was given last."""
        return self._ledger

    @property
    def has_additions(self) -> bool:
        """Whether a swap has anything to add: tentative reservations, marks, which `order` keeps, or recalls."""
        return bool(self._tentative) or self.order.has_marks or self.grants.has_recalls

    @property
    def has_removals(self) -> bool:
        """
        Whether a swap has anything to take out: reservations that are settled or expired, marks that are over, or
        grants that end or are to be written anew.
        """
        return bool(self._to_remove) or self.order.has_changes(self._ledger) or self.grants.is_due(self._ledger)

    def unreached_target(self) -> WatchTarget | None:
        """Return the watch position that this replica must reach before it may decide; None if it has."""
        for resource in self.unread_resources():
            return WatchTarget(resource, None)
        for resource, version in (*self._ledger.settled_through.items(), *self._required_positions.items()):
            if resource in self._charged and self._index.position(resource) < version:
                return WatchTarget(resource, version)
        return None

    def unread_resources(self) -> Iterator[str]:
        """
        Return the charged resources whose newest version was not read when the lost ledger was opened, nor since.

        The replica that opened the ledger read it for those that it charges itself.
        """
        ledger = self._ledger
        if ledger.is_open and not ledger.is_first:
            known = ledger.settled_through.keys() | self._read_since_loss
            yield from (resource for resource in self._charged if resource not in known)

    def set_newest(self, resource: str, newest: int) -> None:
        """Record that *newest* is the highest version of *resource*, read after the ledger was opened again."""
        self._read_since_loss.add(resource)
        self._required_positions[resource] = max(newest, self._required_positions.get(resource, 0))

    def in_flight(self, owner: str) -> int:
        """Return how many reservations an owner has."""
        return self._by_owner.get(owner, 0)

    def live(self) -> Iterator[tuple[str, Reservation]]:
        """Return the reservations of the ledger that are neither settled nor expired, with their tokens."""
        held = self._ledger.reservations.items()
        return ((token, each) for token, each in held if token not in self._to_remove)

    def expirable(self) -> Iterator[tuple[str, Reservation]]:
        """Return those of `live` that this replica can look up."""
        return ((token, each) for token, each in self.live() if each.key.resource in self._charged)

    # A new version.

    def take_in(self, ledger: Ledger, *, waited: Mapping[str, int] | None = None) -> None:
        """
        Replace the version of the ledger; nothing may be tentative.

        *waited* is for how many milliseconds each token of the present version has waited.
        """
        if ledger.epoch != self._ledger.epoch:
            self._read_since_loss.clear()
        elif ledger.is_open:
            self._note_vanished(ledger, waited or {})
        known = self._ledger.reservations
        for token in known.keys() - ledger.reservations.keys():
            self._release(token, known[token])
        for token in ledger.reservations.keys() - known.keys():
            self._add(token, ledger.reservations[token])
        self._ledger = ledger
        self.order.take_in(ledger)
        self.grants.take_in(ledger)
        self._to_remove = {token: seen for token, seen in self._to_remove.items() if token in ledger.reservations}

    def read_unchanged(self) -> None:
        """Record that the present version was read again."""
        self.grants.take_in(self._ledger)

    # Watch and expiry.

    def settle(self, settled: Iterable[Reservation], *, seen_at: int) -> None:
        """
        Record that the objects of *settled* reservations were seen above their base, at version *seen_at*.

        The usage index has dropped *settled* already. *seen_at* is 0 if the objects are gone: no replica has to wait
        for that, because one that still counts them counts too much, never too little.
        """
        for reservation in settled:
            was_granted = self.grants.own.seen(reservation.attempt, seen_at=seen_at)
            token = self._token_by_attempt.pop(reservation.attempt, None)
            if token is None and not was_granted:
                continue
            self._count_out(reservation)
            self._series.was_stored(reservation)
            if token is None:
                continue
            self._to_remove[token] = seen_at
            if token in self._tentative:
                self._to_remove.update(dict.fromkeys(self._tentative[token].replaces, seen_at))

    def expire(self, token: str, *, found: StoredVersion | None) -> bool:
        """
        Release a reservation whose time is over, unless its object is stored; return whether it expired.

        *found* is what a quorum read after that time found under the key; None for nothing. A reservation whose object
        is stored stays until our watch shows the object. If our watch has passed the object and left it out, the
        reservation is settled at the object's version: another replica may count the object, because replicas learn at
        different times which namespaces are exempt.

        A merged one is released even if an object is stored: which of its creates that was is not known.
        """
        reservation = self._ledger.reservations.get(token)
        if reservation is None or token in self._to_remove:
            return False
        resource = reservation.key.resource
        if found is not None and reservation.uid == MERGED_UID:
            # It may be one of the merged creates: every replica, this one too, must see it before it decides.
            self._required_positions[resource] = max(found.version, self._required_positions.get(resource, 0))
            self._remove(token, reservation, seen_at=found.version)
            return True
        if found is not None and is_stored(reservation, found):
            if is_left_out(reservation, found, self._index):
                self._remove(token, reservation, seen_at=found.version)
                self._series.was_stored(reservation)
            return False
        self._remove(token, reservation, seen_at=0)
        self._series.came_to_nothing(reservation)
        return True

    def expire_granted(self, charged: Charged, *, found: StoredVersion | None) -> bool:
        """
        Release what was allowed in memory and has been held for its time, unless it is stored; return whether it
        expired.

        See `expire`: *found* is what a quorum read after that time found.
        """
        reservation = charged.reservation
        if not self.grants.own.is_charged(reservation.attempt):
            return False
        if found is not None and is_stored(reservation, found):
            if is_left_out(reservation, found, self._index):
                self._index.drop(reservation)
                self.settle((reservation,), seen_at=found.version)
            return False
        self._index.drop(reservation)
        self._count_out(reservation)
        self.grants.own.forget(reservation.attempt)
        self._series.came_to_nothing(reservation)
        return True

    # Decisions.

    def may_decide_in_memory(self, charge: Charge) -> bool:
        """Whether it is worth while to decide on *charge* without the ledger: `allow_in_memory` may still say no."""
        if charge.prior is not None or not self.grants.is_open:
            return False
        return self._index.row(charge.key) is None or bool(self._index.pending(charge.key))

    def allow_in_memory(self, decision: Decision, *, dry_run: bool) -> bool:
        """
        Return whether *decision* is final without a swap. With *dry_run* nothing is charged to the grant.

        It is for a create that fits into the grant of this replica, or was allowed under it before: if it is asked
        again, it cannot be stored later than what was asked first. Of names that are in flight, and of series of which
        a create came to nothing, the ledger knows more.
        """
        if not isinstance(decision, Allowed) or (reservation := decision.reservation) is None:
            return False
        if self.grants.own.is_charged(reservation.attempt):
            return True
        demand = decision.demand
        if demand is None or not self.grants.may_allow(demand) or self._index.pending(reservation.key):
            return False
        if self._vanished or self._series.is_suspect(reservation):
            return False
        if not dry_run:
            self.grants.allow(reservation, demand)
            self._count_in(reservation)
            self._index.reserve(reservation)
        return True

    def granted_to_others(self, decision: Decision, decide: Callable[[UsageView], Decision]) -> tuple[Limit, ...]:
        """
        Return the limits under which what *decision* allows does not fit beside all that others were granted, and
        recall that; nothing if it fits.

        A refusal counts no grant. *decide* decides again.
        """
        beside = self.grants.counted_in(self._index)
        if beside is self._index or not isinstance(decision, Allowed):
            return ()
        less = decide(beside)
        if not isinstance(less, Denied):
            return ()
        limits = tuple(each for each in exceeded_limits(less) if each.mode is Mode.ENFORCE)
        self.grants.recall((LimitKey(each.subject, each.resource) for each in limits), self._ledger)
        return limits

    def check_series(self, reservation: Reservation) -> None:
        """
        Check that *reservation* may be held: not while its series is suspect and another create of it is in flight.

        Call it with no `unreached_target`, so that our watch shows what became of the others. Raises: UnavailableError.
        """
        if reservation.attempt in self._token_by_attempt:
            return
        while self._vanished:
            self._record_outcome(self._vanished.pop())
        self._series.check(reservation)

    def hold(self, reservation: Reservation) -> None:
        """
        Hold *reservation* tentatively. `undo` releases it; `written` makes it part of the ledger.

        Nothing is held if our watch shows the object above the base already, or gone: then this write is stored, or
        never will be; nor if the own grant stands for it.
        """
        if self._seen_at(reservation) is not None or self.grants.own.is_charged(reservation.attempt):
            return
        token = self._token_by_attempt.get(reservation.attempt)
        if token is not None:
            reservation = covering(reservation, self._reservation_of(token))
            self._put(reservation, instead_of=(token,))
            return
        self._put(reservation, instead_of=())
        if reservation.base == CREATED:
            self._merge(reservation)

    def undo(self) -> None:
        """
        Release everything tentative, and count again what it replaced: the swap was lost, or not tried.

        What the own grant stood for goes back to it, and stays counted.
        """
        for token, tentative in self._tentative.items():
            if not tentative.was_granted:
                self._release(token, tentative.reservation)
            elif self._token_by_attempt.pop(tentative.reservation.attempt, None) is not None:
                self.grants.own.not_written(tentative.reservation.attempt)
        for tentative in self._tentative.values():
            for replaced in tentative.replaces:
                if replaced in self._ledger.reservations and replaced not in self._to_remove:
                    self._add(replaced, self._ledger.reservations[replaced])
        self._tentative.clear()
        self.order.undo()
        self.grants.undo()

    def next_version(self, *, may_take: bool = False) -> Ledger:
        """
        Return the version that a swap writes. It *may_take* a grant only if all is known that a decision needs.

        Where the own grant goes, what is in flight under it becomes tentative as well.
        """
        if self.grants.gives_back(self._ledger):
            for each in self.grants.own.kept():
                self._write_granted(each.reservation)
        replaced = (token for each in self._tentative.values() for token in each.replaces)
        new = {token: each.reservation for token, each in self._tentative.items()}
        ledger = self.order.following(self._ledger.followed(without=self._to_remove, replaced=replaced, new=new))
        may_take = may_take and ledger.is_open and self.unreached_target() is None
        return self.grants.following(ledger, self._counted, may_take=may_take, has_new=bool(self._tentative))

    def _counted(self, key: LimitKey) -> Amount:
        return self._index.allocated(key.subject, key.resource)

    def _write_granted(self, reservation: Reservation) -> None:
        """Have the next swap write a reservation for which the grant of this replica stands: it is counted already."""
        token = self._new_token()
        self._tentative[token] = _Tentative(reservation, (), was_granted=True)
        self._token_by_attempt[reservation.attempt] = token
        self.grants.own.written(reservation.attempt)

    def lost(self, *, may_have_landed: bool) -> None:
        """Record that the swap of `next_version` was not stored, or that it is not known whether it was."""
        self.grants.own.lost(may_have_landed=may_have_landed)

    def written(self, ledger: Ledger) -> None:
        """Record that *ledger*, which follows our version, is stored: what was tentative is part of it."""
        known = {**self._ledger.reservations, **{token: each.reservation for token, each in self._tentative.items()}}
        self._ledger = replace(self._ledger, reservations=known)
        self._tentative.clear()
        self.grants.landed()
        self.take_in(ledger)

    # Keeping the usage index.

    def _add(self, token: str, reservation: Reservation) -> None:
        """Count a reservation of the ledger, unless our watch is ahead of it."""
        if (seen_at := self._seen_at(reservation)) is not None:
            self._to_remove[token] = seen_at
            return
        self._token_by_attempt[reservation.attempt] = token
        if self.grants.own.written(reservation.attempt):
            return  # allowed in memory here, asked again at another replica: it is counted already
        self._count_in(reservation)
        self._index.reserve(reservation)

    def _count_in(self, reservation: Reservation) -> None:
        self._by_owner[reservation.payer.owner] += 1
        self._series.held(reservation)

    def _count_out(self, reservation: Reservation) -> None:
        owner = reservation.payer.owner
        self._by_owner[owner] -= 1
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        self._series.released(reservation)

    def _note_vanished(self, ledger: Ledger, waited: Mapping[str, int]) -> None:
        """
        Record what became of the reservations that another replica removed.

        One that is too young to have expired was stored. Of the others our watch tells by the next decision. It need
        not tell of a young one by then: for an object that was deleted at once nothing makes us wait.
        """
        known = self._ledger.reservations
        gone = known.keys() - ledger.reservations.keys() - self._to_remove.keys()
        if not gone:
            return
        left = {(each.key, each.uid) for each in ledger.reservations.values()}
        for token in gone:
            reservation = known[token]
            if (reservation.key, reservation.uid) in left or (reservation.key, MERGED_UID) in left:
                continue
            if waited.get(token, 0) < _SURELY_STORED_BELOW_MS:
                self._series.was_stored(reservation)
            elif len(self._vanished) < _MOST_VANISHED:
                self._vanished.append(reservation)

    def _record_outcome(self, reservation: Reservation) -> None:
        """Record whether *reservation*, which another replica removed, was stored. Of a merged one it is unknown."""
        row = self._index.row(reservation.key)
        if (row is not None and row.uid == reservation.uid) or self._index.is_gone(reservation.uid):
            self._series.was_stored(reservation)
        elif reservation.uid != MERGED_UID:
            self._series.came_to_nothing(reservation)

    def _seen_at(self, reservation: Reservation) -> int | None:
        """
        Return the version above the base at which our watch shows the object; 0 if the object is gone. None if our
        watch shows neither yet.

        An object that existed at the base, and does not exist at a position at or above it, was deleted in between.
        """
        key, uid, base = reservation.key, reservation.uid, reservation.base
        row = self._index.row(key)
        if row is not None and row.uid == uid:
            return row.version if row.version > base else None
        if base == CREATED:
            return 0 if self._index.is_gone(uid) else None
        return 0 if self._index.position(key.resource) >= base else None

    def _release(self, token: str, reservation: Reservation) -> None:
        attempt = reservation.attempt
        if self._token_by_attempt.get(attempt) == token:
            del self._token_by_attempt[attempt]
            self._count_out(reservation)
            self._index.drop(reservation)

    def _remove(self, token: str, reservation: Reservation, *, seen_at: int) -> None:
        self._to_remove[token] = seen_at
        self._release(token, reservation)

    def _put(self, reservation: Reservation, *, instead_of: tuple[str, ...]) -> None:
        """Hold a tentative reservation in the place of the tokens *instead_of*, tentative or of the ledger."""
        replaces: list[str] = []
        for token in instead_of:
            self._release(token, self._reservation_of(token))
            tentative = self._tentative.pop(token, None)
            replaces += [token] if tentative is None else tentative.replaces
        token = self._new_token()
        self._tentative[token] = _Tentative(reservation, tuple(replaces))
        self._token_by_attempt[reservation.attempt] = token
        self._count_in(reservation)
        self._index.reserve(reservation)

    def _merge(self, reservation: Reservation) -> None:
        """
        Merge the two oldest creates of the name of *reservation*, if there are more than `MOST_PER_NAME`.

        A name and account have one merged reservation at most: a second one would be the same attempt.
        """
        pending = self._index.pending(reservation.key)
        alike = [each for each in pending if _is_alike(each, reservation) and each.attempt in self._token_by_attempt]
        if len(alike) <= MOST_PER_NAME:
            return
        one, other = sorted(alike, key=lambda each: each.uid != MERGED_UID)[:2]  # the merged one, then the oldest
        merged = replace(covering(one, other), uid=MERGED_UID)
        self._put(merged, instead_of=(self._token_by_attempt[one.attempt], self._token_by_attempt[other.attempt]))

    def _reservation_of(self, token: str) -> Reservation:
        tentative = self._tentative.get(token)
        return self._ledger.reservations[token] if tentative is None else tentative.reservation


def _is_alike(one: Reservation, other: Reservation) -> bool:
    return one.base == CREATED and one.account == other.account
