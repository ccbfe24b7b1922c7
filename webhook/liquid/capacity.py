"""
What nodes have, as a broker is told it: LIQUID's `ServiceCapacityReport`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from webhook.liquid.info import Json
from webhook.liquid.offers import Offer, Offers
from webhook.liquid.zones import UNKNOWN
from webhook.quota.commitments import Commitments, Pool
from webhook.quota.resources import Amount
from webhook.quota.usage import UsageView

Has: TypeAlias = Callable[[Pool], Mapping[str, Amount]]
Used: TypeAlias = Callable[[Pool, Sequence[str]], Mapping[str, Amount] | None]
"""Returns what is used of each of these resources of a pool, None if no sum of that is kept."""


class CapacityReport:
    """
    The report on `zones`: an asked zone without nodes has 0, and `unknown` what is in no zone that was asked for.

    What nodes have is rounded down, what is used is rounded up.
    """

    def __init__(self, offers: Offers, zones: Sequence[str], *, has: Has, used: Used) -> None:
        self._offers = offers
        self._zones = tuple(dict.fromkeys(zones))
        self._has = has
        self._used = used
        self._resources: dict[str, Json] = {}

    def walk(self) -> Iterator[None]:
        """Take in all classes, once. Yields after each."""
        for node_class in dict.fromkeys(each.node_class for each in self._offers):
            self._take(node_class)
            yield

    def result(self, *, version: int) -> Json:
        """Return the report."""
        return {"infoVersion": version, "resources": self._resources}

    def _take(self, node_class: str) -> None:
        offers = self._offers.of_class(node_class)
        names = [each.resource for each in offers]
        pools = {zone: Pool(node_class, zone) for zone in self._zones}
        there = {zone: self._has(pool) for zone, pool in pools.items()}
        taken = {zone: self._used(pool, names) for zone, pool in pools.items()}
        all_there, all_taken = self._has(Pool(node_class)), self._used(Pool(node_class), names)
        known = [each for each in taken.values() if each is not None]
        for offer in offers:
            name = offer.resource
            report = {zone: _one(offer, there[zone], taken[zone]) for zone in self._zones}
            rest: dict[str, Amount] = {name: all_there.get(name, 0) - sum(each.get(name, 0) for each in there.values())}
            elsewhere: dict[str, Amount] | None = None
            if all_taken is not None and len(known) == len(self._zones):
                elsewhere = {name: all_taken[name] - sum(each[name] for each in known)}
            if rest[name] or (elsewhere and elsewhere[name]):
                report[UNKNOWN] = _one(offer, rest, elsewhere)
            self._resources[offer.name] = {"perAZ": report}


def known_use(commitments: Commitments, usage: UsageView) -> Used:
    """
    Return what objects use of pools, which is known where *commitments* are: their pods are counted by pool.

    It is known by zone if commitments of the class are by zone. A pod that may run on several classes counts in each,
    one that may run in several zones in its class alone.
    """
    classes = {pool.node_class for pool in commitments.pools}
    zoned = {pool.node_class for pool in commitments.pools if pool.zone}

    def used(pool: Pool, names: Sequence[str]) -> Mapping[str, Amount] | None:
        if pool.node_class not in (zoned if pool.zone else classes):
            return None
        subject = pool.subject
        return {name: usage.used(subject, name) for name in names}

    return used


def _one(offer: Offer, there: Mapping[str, Amount], taken: Mapping[str, Amount] | None) -> Json:
    said = {} if taken is None else {"usage": offer.at_least(taken[offer.resource])}
    return {"capacity": offer.at_most(there.get(offer.resource, 0)), **said}
