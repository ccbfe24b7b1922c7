"""
What one request asks for, and what is held for it while it is in flight. The sums of all of it live in `book`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from webhook.quota import resources
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Payer, Subject

LONGEST_REQUEST = 34.0
"""
Seconds. The API server bounds a write at this (`requestTimeoutUpperBound` of k8s.io/apiserver): what it was told to
allow cannot be persisted later.
"""

SLOP = 6.0
"""Seconds for an etcd write that is under way when the bound passes, and for our own delay in noticing."""

CREATED = 0
"""The base of a create: every version the API gives out is above it."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """
    Amounts held for an object that was allowed and has not been seen yet.

    `base` is CREATED, or for an update the resource version it was based on. Amounts are absolute, never a growth.
    Settled when the object is seen at a version above `base`.
    """

    key: ObjectKey
    uid: str
    base: int
    payer: Payer
    amounts: Amounts


_Attempt: TypeAlias = tuple[str, int, Payer]


class PendingWrites:
    """
    Everything that is held on one name.

    Creates of one name may come by the thousand, each with a uid of its own and all but one in vain: one more of them
    must not cost more because of the others. So what each payer's claims ask for at most is kept beside them.
    """

    __slots__ = ("_alike", "_by_attempt", "_most")

    def __init__(self) -> None:
        """Start empty."""
        self._by_attempt: dict[_Attempt, Reservation] = {}
        self._alike: dict[Payer, Counter[Amounts]] = defaultdict(Counter)
        self._most: dict[Payer, Amounts] = {}  # worked out anew, when it is asked for, where something was taken away

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._by_attempt.values())

    def __len__(self) -> int:
        return len(self._by_attempt)

    def __contains__(self, reservation: Reservation) -> bool:
        return _attempt(reservation) in self._by_attempt

    def add(self, reservation: Reservation) -> None:
        """
        Hold *reservation*; of two with the same uid, base and payer the larger amounts stay.

        Two payers on the same base are both held: one is being adopted while another update is under way, and either
        may be the one that is persisted.
        """
        payer = reservation.payer
        if reservation in self:
            known = self.remove(reservation)
            reservation = replace(reservation, amounts=_larger(known.amounts, reservation.amounts))
        self._by_attempt[_attempt(reservation)] = reservation
        alike = self._alike[payer]
        alike[reservation.amounts] += 1
        if payer in self._most or len(alike) == 1:
            self._most[payer] = _larger(self._most.get(payer, ()), reservation.amounts)

    def remove(self, reservation: Reservation) -> Reservation:
        """Let go of what is held for the same attempt as *reservation*, and give it. Raises: KeyError."""
        held = self._by_attempt.pop(_attempt(reservation))
        alike = self._alike[held.payer]
        alike[held.amounts] -= 1
        if not alike[held.amounts]:
            del alike[held.amounts]
            self._most.pop(held.payer, None)
        if not alike:
            del self._alike[held.payer]
        return held

    def most(self) -> dict[Payer, Amounts]:
        """Give the most that the claims of each payer ask for."""
        for payer in self._alike.keys() - self._most.keys():
            self._most[payer] = tuple(sorted(resources.most_amounts(self._alike[payer]).items()))
        return self._most


def _attempt(reservation: Reservation) -> _Attempt:
    return reservation.uid, reservation.base, reservation.payer


def _larger(left: Amounts, right: Amounts) -> Amounts:
    return tuple(sorted(resources.most_amounts((left, right)).items()))


@dataclass(frozen=True, slots=True)
class Prior:
    """What the object cost before an update, and on whose account."""

    payer: Payer
    subjects: frozenset[Subject]
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Charge:
    """
    What a request would cost once it is done.

    `prior` is None for a create. `cap` names the policy field that bounds one object of this kind.
    """

    key: ObjectKey
    uid: str
    base: int
    payer: Payer
    amounts: Amounts
    prior: Prior | None = None
    cap: str | None = None

    @property
    def grows(self) -> bool:
        """Say whether anybody would pay more than before; what does not grow always passes."""
        if self.prior is None or self.prior.payer != self.payer:
            return True
        before = dict(self.prior.amounts)
        return any(amount > before.get(name, 0) for name, amount in self.amounts)

    def before(self, name: str, subject: Subject) -> Amount:
        """Give what the object cost of resource *name* on the account of *subject* before."""
        if self.prior is None or subject not in self.prior.subjects:
            return 0
        return next((amount for known, amount in self.prior.amounts if known == name), 0)

    def reservation(self) -> Reservation:
        """Give what has to be held if this is allowed."""
        return Reservation(self.key, self.uid, self.base, self.payer, self.amounts)
