"""
The grant of one replica: what it may allow in its memory, and what it has allowed so.

No I/O. `Grants` sizes it, charges it and has it written; `ReplicaView` asks for that, and tells it what was seen, has
expired or was written by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from webhook.ledger.protocol import Room, SettledVersion
from webhook.quota.demand import Demand, LimitKey
from webhook.quota.reservation import Attempt, Reservation
from webhook.quota.resources import Amount

VALID_FOR = 10.0
"""
Seconds after the beginning of the swap that wrote a grant in which its holder allows anything under it. What a crash
leaves is back 40 seconds after that: in less than a minute.
"""

_MOST_CHARGED = 500
"""
Creates that a replica has allowed in memory and that no swap of its own has taken out since. If the grant is recalled
they are written down, each by its name: three replicas together must stay well below the 8 000 that fit the ledger.
"""


_NOTHING = Demand(())

Hards: TypeAlias = Mapping[LimitKey, Amount]
"""The limit of each key by which a grant was taken."""


class Moment(NamedTuple):
    """
    A moment by two clocks, in seconds: one that counts on while the machine is suspended, and that of the wall.

    What has passed is the most that either says. Where a hypervisor stops both, they say too little.
    """

    since_boot: float
    wall: float

    def until(self, now: Moment) -> float:
        """Return the seconds from this moment until *now*."""
        return max(now.since_boot - self.since_boot, now.wall - self.wall)


class Renewed(NamedTuple):
    """The `room` of a grant as the next swap writes it, and where what leaves it with that swap was seen."""

    room: Room
    left: Sequence[SettledVersion]


@dataclass(eq=False, slots=True)
class Charged:
    """
    A create that was allowed in memory: what it takes of the grant, and `since` when, by the clock of the API servers.

    `seen_at` is the version at which the watch showed it, 0 if it showed it gone; None before that. `is_written`: the
    swap that is under way, or an earlier one, reserves it by its name. Both leave the grant with the next swap, and not
    before.
    """

    reservation: Reservation
    demand: Demand
    since: float
    seen_at: int | None = None
    is_written: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether nothing but the grant stands for it."""
        return self.seen_at is None and not self.is_written


@dataclass(slots=True)
class _Budget:
    """An amount for each limit key, of which some is spent, under the limits by which it was taken."""

    room: Room = field(default_factory=dict)
    hards: Hards = field(default_factory=dict)
    spent: dict[LimitKey, Amount] = field(default_factory=dict)

    def has_room_for(self, demand: Demand) -> bool:
        """Whether all of *demand* fits, under the limits of today."""
        for key, amount, hard in demand.under:
            if self.hards.get(key) != hard or self.spent.get(key, 0) + amount > self.room.get(key, 0):
                return False
        return True

    def spend(self, demand: Demand, sign: int = 1) -> None:
        for key, amount, _ in demand.under:
            self.spent[key] = self.spent.get(key, 0) + sign * amount

    def left(self) -> dict[LimitKey, Amount]:
        """Return what is not spent."""
        rest = {key: amount - self.spent.get(key, 0) for key, amount in self.room.items()}
        return {key: amount for key, amount in rest.items() if amount > 0}


@dataclass(eq=False, slots=True)
class _Swap:
    """A swap under way that writes the grant anew; `leaving` is not charged to it any more once it lands."""

    token: str
    begun: Moment
    budget: _Budget
    leaving: frozenset[Attempt]


class OwnGrant:
    """
    A budget, and the creates that are charged to it.

    What it is charged with and was stored leaves it by a swap of its own alone, so that others never count less than
    what may still be stored; what surely never is goes back at once. While such a swap is under way, a create has to
    fit into both, the grant as it is and as it will be.
    """

    def __init__(self) -> None:
        """Start without a grant."""
        self._budget = _Budget()
        self._token = ""
        self._begun = Moment(0.0, 0.0)
        self._swap: _Swap | None = None
        self._charged: dict[Attempt, Charged] = {}
        self._is_shown = False
        self._must_land = False
        self.is_taken = False
        """Whether the ledger has a grant of this replica, whatever its token."""

    # Queries.

    def age(self, now: Moment) -> float:
        """Return the seconds since the swap began that wrote the grant."""
        return self._begun.until(now)

    def is_open(self, now: Moment) -> bool:
        """Whether anything may be allowed under it."""
        return self._is_shown and not self._must_land and 0 <= self.age(now) <= VALID_FOR

    def has_room_for(self, demand: Demand) -> bool:
        """Whether *demand* fits into it, and into what a swap under way makes of it."""
        if len(self._charged) >= _MOST_CHARGED or not self._budget.has_room_for(demand):
            return False
        return self._swap is None or self._swap.budget.has_room_for(demand)

    def left(self) -> dict[LimitKey, Amount]:
        """Return what is not spent."""
        return self._budget.left()

    def left_of(self, key: LimitKey) -> Amount:
        """Return what is not spent of *key*."""
        return self._budget.room.get(key, 0) - self._budget.spent.get(key, 0)

    @property
    def hards(self) -> Hards:
        """The limits by which it was taken."""
        return self._budget.hards

    def is_charged(self, attempt: Attempt) -> bool:
        """Whether *attempt* was allowed in memory, and nothing else stands for it."""
        charged = self._charged.get(attempt)
        return charged is not None and charged.is_kept

    def kept(self) -> tuple[Charged, ...]:
        """Return what nothing but the grant stands for."""
        return tuple(each for each in self._charged.values() if each.is_kept)

    # Charges.

    def charge(self, reservation: Reservation, demand: Demand, *, since: float) -> None:
        """Charge the create of *reservation*, for which there is room."""
        self._charged[reservation.attempt] = Charged(reservation, demand, since)
        self._spend(demand)

    def seen(self, attempt: Attempt, *, seen_at: int) -> bool:
        """
        Record that the watch has shown the object of *attempt*, 0 if it is gone; return whether only the grant stood
        for it until then.
        """
        charged = self._charged.get(attempt)
        if charged is None:
            return False
        was_kept, charged.seen_at = charged.is_kept, seen_at
        return was_kept

    def written(self, attempt: Attempt) -> bool:
        """Record that *attempt* has a reservation in the ledger; return whether it was charged."""
        if not self.is_charged(attempt):
            return False
        self._charged[attempt].is_written = True
        return True

    def not_written(self, attempt: Attempt) -> None:
        """Take `written` back: the swap was lost."""
        self._charged[attempt].is_written = False

    def forget(self, attempt: Attempt) -> None:
        """Give back what was never stored and cannot be any more."""
        self._spend(self._charged.pop(attempt).demand, -1)

    def _spend(self, demand: Demand, sign: int = 1) -> None:
        self._budget.spend(demand, sign)
        if self._swap is not None:
            self._swap.budget.spend(demand, sign)

    # Swaps.

    def begin(self, token: str, spare: Room, hards: Hards, *, now: Moment) -> Renewed:
        """Begin a swap that writes the grant anew, with *spare* beside what is kept; *hards* limit its keys."""
        leaving = {attempt: each for attempt, each in self._charged.items() if not each.is_kept}
        budget = _Budget(hards=hards)
        for each in self.kept():
            budget.spend(each.demand)
        keys = {**budget.spent, **spare}
        budget.room = {key: budget.spent.get(key, 0) + spare.get(key, 0) for key in keys}
        self._swap = _Swap(token, now, budget, frozenset(leaving))
        left = [SettledVersion(each.reservation.key.resource, each.seen_at or 0) for each in leaving.values()]
        return Renewed(budget.room, left)

    def landed(self) -> bool:
        """Record that a swap is stored: from now on the grant is what it wrote. Returns False if it wrote none."""
        swap, self._swap = self._swap, None
        if swap is None:
            return False
        for attempt in swap.leaving:
            self._charged.pop(attempt, None)
        self._token, self._begun, self._budget = swap.token, swap.begun, swap.budget
        self._must_land = False
        return True

    def lost(self, *, may_have_landed: bool) -> None:
        """
        Record that the swap was not stored, or that it is not known.

        Nothing is allowed until the ledger was read again; if it *may_have_landed* until a later swap has.
        """
        if self._swap is None:
            return
        self._swap = None
        self._is_shown = False
        self._must_land = self._must_land or may_have_landed

    def shown(self, tokens: Iterable[str]) -> None:
        """
        Record which *tokens* the grants have that the ledger has of this replica, as read or written just now.

        Without any, what was charged is over: the ledger was lost, or somebody found that it cannot be stored any more.
        """
        found = set(tokens)
        self.is_taken = bool(found)
        self._is_shown = self._token in found
        if not found:
            self._budget = _Budget()
            for each in self._charged.values():
                each.demand = _NOTHING
