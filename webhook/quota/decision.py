"""
The decision: does a charge fit under every limit that binds it? One pure function and its outcomes.

The words in which a refusal is told lie in `denial`. Reading, deciding and reserving as one step is the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass

from webhook.quota.limits import Limit, LimitsInForce
from webhook.quota.policy import Mode
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.resources import Amount
from webhook.quota.usage import UsageView


@dataclass(frozen=True, slots=True)
class Excess:
    """
    One limit that a request does not fit under.

    `requested` is what the request adds to what its object holds; `fits` is the most this object could ask for instead,
    0 if nothing. What the object has already always fits. For a cap on one object `used` and `reserved` are 0.
    """

    rule: Limit
    requested: Amount
    used: Amount
    reserved: Amount
    fits: Amount

    @property
    def free(self) -> Amount:
        """What is left under the limit, 0 when it is exceeded already."""
        return max(self.rule.hard - self.used - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    The charge fits. `reservation` has to be held from now on; None where nothing grows.

    `tolerated` are limits that are exceeded but only warn or audit.
    """

    reservation: Reservation | None
    tolerated: tuple[Excess, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """The charge does not fit. `excesses` are all limits that fail, in the order of the policy."""

    excesses: tuple[Excess, ...]


Decision = Allowed | Denied


def decide(charge: Charge, in_force: LimitsInForce, view: UsageView) -> Decision:
    """
    Give the verdict on *charge* against every limit *in_force* and what is allocated by *view*.

    Only amounts that grow are compared: shrinking and unrelated changes pass, also over the limit. What the object's
    own name holds already is counted once, so that a repeated call never charges twice.
    """
    if not charge.grows:
        return Allowed(None)
    excesses = (*_over_caps(charge, in_force), *_over_sums(charge, in_force, view))
    if any(excess.rule.mode is Mode.ENFORCE for excess in excesses):
        return Denied(tuple(excess for excess in excesses if excess.rule.mode is Mode.ENFORCE))
    return Allowed(charge.reservation(), excesses)


def _over_caps(charge: Charge, in_force: LimitsInForce) -> list[Excess]:
    caps = [cap for cap in in_force.caps if cap.cap == charge.cap]
    if not caps:
        return []
    asked = dict(charge.amounts)
    before = dict(charge.prior.amounts) if charge.prior else {}
    most = [(cap, max(cap.hard, before.get(cap.resource, 0))) for cap in caps]
    return [Excess(cap, asked[cap.resource], 0, 0, fits) for cap, fits in most if asked.get(cap.resource, 0) > fits]


def _over_sums(charge: Charge, in_force: LimitsInForce, view: UsageView) -> list[Excess]:
    asked = dict(charge.amounts)
    over = []
    for limit in in_force.sums:
        amount = asked.get(limit.resource)
        if amount is None:
            continue
        before = charge.before(limit.resource, limit.subject) if charge.prior is not None else 0
        if amount <= before:
            continue
        if view.allocated(limit.subject, limit.resource) + amount <= limit.hard:
            continue
        used = view.used(limit.subject, limit.resource)
        reserved = view.reserved(limit.subject, limit.resource)
        held = view.held(charge.key, limit.subject, limit.resource)
        room = limit.hard - (used + reserved - held)
        if max(held, amount) > room:
            fits = max(before, room) if held <= room else before
            # An update based on an old version adds more than it seems: what it grew from is not what is there.
            over.append(Excess(limit, amount - min(before, held), used, reserved, fits))
    return over
