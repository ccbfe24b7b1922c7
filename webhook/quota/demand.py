"""
What a create asks for under each limit that binds it: what a replica charges to its grant when it allows one in memory.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from webhook.quota import scopes
from webhook.quota.limits import LimitsInForce
from webhook.quota.reservation import Charge
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject


class LimitKey(NamedTuple):
    """What limits of one sum have in common, whatever their amount."""

    subject: Subject
    resource: str


class DemandUnderLimit(NamedTuple):
    """What a create adds under one limit key, and `hard`, the least limit of that key."""

    key: LimitKey
    amount: Amount
    hard: Amount


class Demand(Struct, frozen=True):
    """What a create adds under every limit key. Nothing is in it where nothing limits what the object costs."""

    under: tuple[DemandUnderLimit, ...]

    @property
    def keys(self) -> tuple[LimitKey, ...]:
        """The limit keys alone."""
        return tuple(each.key for each in self.under)


def demand_of(charge: Charge, in_force: LimitsInForce) -> Demand | None:
    """
    Return what *charge* adds under the sums *in_force*; None for what has to be decided on the ledger itself.

    That is whatever does not only add: updates; sessions and their pods, which hand over what is held for them; and
    what counts where something is promised, because it may be covered.
    """
    is_plain = charge.prior is None and charge.pods is None and charge.expected is None and not charge.part_of
    if not is_plain or in_force.pools or scopes.values_of(scopes.NODE_CLASS, charge.scopes):
        return None
    requested = dict(charge.compared)
    found: dict[LimitKey, DemandUnderLimit] = {}
    for limit in in_force.sums:
        amount = requested.get(limit.resource)
        if amount is None:
            continue
        key = LimitKey(limit.subject, limit.resource)
        known = found.get(key)
        hard = limit.hard if known is None else min(known.hard, limit.hard)
        found[key] = DemandUnderLimit(key, amount, hard)
    return Demand(tuple(found.values()))
