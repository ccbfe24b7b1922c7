"""
What one request asks for, and what is held for it while it is in flight. Frozen values; the sums live in `book`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Payer, Subject

CREATED = 0
"""The base of a create: every version the API gives out is above it."""


class Slot(NamedTuple):
    """
    One name in the API. Only one object at a time can hold it, so whatever claims it counts once, as the largest.

    `resource` is the plural with its group, as in `pods` or `deployments.apps`.
    """

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """
    Amounts held for an object that was allowed and has not been seen yet.

    `base` is CREATED, or for an update the resource version it was based on. Amounts are absolute, never a growth.
    Settled when the object is seen at a version above `base`.
    """

    slot: Slot
    uid: str
    base: int
    payer: Payer
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Prior:
    """What the object cost before an update, and on whose account."""

    payer: Payer
    subjects: frozenset[Subject]
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request would cost once it is done. `prior` is None for a create."""

    slot: Slot
    uid: str
    base: int
    payer: Payer
    amounts: Amounts
    prior: Prior | None = None

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
        return Reservation(self.slot, self.uid, self.base, self.payer, self.amounts)
