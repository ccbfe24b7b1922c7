"""
Decide whether a charge fits under every limit that binds it: one pure function and its outcomes.

`message` builds the text of a denial. The ledger reads usage, decides and reserves in one step.
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
    One limit that a request exceeds.

    `requested` is what the request adds to what its object holds. `fits` is the most that this object could request
    instead, 0 if nothing; what the object has already always fits. For a cap on one object `used` and `reserved` are 0.
    """

    rule: Limit
    requested: Amount
    used: Amount
    reserved: Amount
    fits: Amount

    @property
    def free(self) -> Amount:
        """The amount left under the limit, 0 if the limit is already exceeded."""
        return max(self.rule.hard - self.used - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    The charge fits. `reservation` must be held from now on; None if no amount grows.

    `tolerated` are exceeded limits: their mode is only warn or audit, or the charge must not be denied.
    """

    reservation: Reservation | None
    tolerated: tuple[Excess, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """The charge does not fit. `excesses` are all exceeded limits, in the order of the policy."""

    excesses: tuple[Excess, ...]


Decision = Allowed | Denied


def decide(charge: Charge, in_force: LimitsInForce, view: UsageView, *, may_deny: bool = True) -> Decision:
    """
    Return whether *charge* fits under every limit *in_force*, given the usage in *view*.

    Unless it *may_deny*, the charge is allowed, and every exceeded limit is tolerated.

    Only amounts that grow are compared: shrinking and unrelated changes pass even over the limit. What the object's own
    key already holds counts once, so that a repeated call is never charged twice.
    """
    if not charge.grows:
        return Allowed(None)
    excesses = (*_over_caps(charge, in_force), *_over_sums(charge, in_force, view))
    if may_deny and any(excess.rule.mode is Mode.ENFORCE for excess in excesses):
        return Denied(tuple(excess for excess in excesses if excess.rule.mode is Mode.ENFORCE))
    return Allowed(charge.reservation(), excesses)


def _over_caps(charge: Charge, in_force: LimitsInForce) -> list[Excess]:
    caps = [cap for cap in in_force.caps if cap.cap == charge.cap]
    if not caps:
        return []
    requested = dict(charge.compared)
    before = dict(charge.prior.amounts) if charge.prior else {}
    fitting = [(cap, max(cap.hard, before.get(cap.resource, 0))) for cap in caps]
    return [
        Excess(cap, requested[cap.resource], 0, 0, fits)
        for cap, fits in fitting
        if requested.get(cap.resource, 0) > fits
    ]


def _over_sums(charge: Charge, in_force: LimitsInForce, view: UsageView) -> list[Excess]:
    requested = dict(charge.compared)
    over = []
    for limit in in_force.sums:
        amount = requested.get(limit.resource)
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
            # An update based on an old version adds more than its own growth: the stored object has shrunk since.
            over.append(Excess(limit, amount - min(before, held), used, reserved, fits))
    return over
