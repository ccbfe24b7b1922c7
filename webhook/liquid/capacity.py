"""
What nodes have, as a broker is told it: LIQUID's `ServiceCapacityReport`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from webhook.liquid.info import Json
from webhook.liquid.offers import Offer, Offers
from webhook.liquid.zones import UNKNOWN
from webhook.quota.commitments import Commitments, Pool
from webhook.quota.resources import Amount
from webhook.quota.usage import UsageView

Has: TypeAlias = Callable[[Pool], Mapping[str, Amount]]
Used: TypeAlias = Callable[[Pool, str], Amount | None]
"""Returns what is used of a resource of a pool, None if no sum of that is kept."""


def capacity_report(offers: Offers, zones: Sequence[str], *, version: int, has: Has, used: Used) -> Json:
    """
    Return the report on *zones*: an asked zone without nodes has 0, and `unknown` what is in no zone that was asked
    for. What nodes have is rounded down, what is used is rounded up.
    """
    return {
        "infoVersion": version,
        "resources": {each.name: {"perAZ": _per_zone(each, zones, has, used)} for each in offers},
    }


def known_use(commitments: Commitments, usage: UsageView) -> Used:
    """
    Return what objects use of pools, which is known where *commitments* are: their pods are counted by pool.

    It is known by zone if commitments of the class are by zone. A pod that may run on several classes counts in each,
    one that may run in several zones in its class alone.
    """
    classes = {pool.node_class for pool in commitments.pools}
    zoned = {pool.node_class for pool in commitments.pools if pool.zone}

    def used(pool: Pool, name: str) -> Amount | None:
        is_known = pool.node_class in (zoned if pool.zone else classes)
        return usage.used(pool.subject, name) if is_known else None

    return used


def _per_zone(offer: Offer, zones: Sequence[str], has: Has, used: Used) -> Json:
    whole = Pool(offer.node_class)
    there = {zone: has(Pool(offer.node_class, zone)).get(offer.resource, 0) for zone in zones}
    taken = {zone: used(Pool(offer.node_class, zone), offer.resource) for zone in zones}
    report = {zone: _one(offer, there[zone], taken[zone]) for zone in zones}
    rest = has(whole).get(offer.resource, 0) - sum(there.values())
    in_all, known = used(whole, offer.resource), [each for each in taken.values() if each is not None]
    elsewhere = in_all - sum(known) if in_all is not None and len(known) == len(zones) else None
    return {**report, UNKNOWN: _one(offer, rest, elsewhere)} if rest or elsewhere else report


def _one(offer: Offer, there: Amount, taken: Amount | None) -> Json:
    said = {} if taken is None else {"usage": offer.at_least(taken)}
    return {"capacity": offer.at_most(there), **said}
