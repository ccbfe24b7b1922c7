"""
What one project uses, as a broker is told it: LIQUID's `ServiceUsageReport`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from webhook.liquid.info import Json
from webhook.liquid.offers import UNLIMITED, Offer, Offers, short_name
from webhook.liquid.zones import UNKNOWN
from webhook.quota import scopes
from webhook.quota.devices import DeviceWeights
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, show
from webhook.quota.subject import Account, Subject
from webhook.quota.usage import Row

_LISTED_BY = "requests.memory"
"""
The resource whose report lists the pods. LIQUID wants `usage` with each part of what is measured, as memory is. Parts
of what is counted have to be the things that are counted, and a pod is no core and no device.
"""


class ProjectUsage:
    """
    Collects what the pods of one tenant use, by class and zone. What is in flight is not in it.

    A pod that may run on several classes counts in each, as in commitments; one that may run in several zones, or in
    one that was not asked for, in the zone `unknown`.
    """

    def __init__(  # noqa: PLR0913 - what a report is made of
        self,
        offers: Offers,
        tenant: Subject,
        zones: Sequence[str],
        *,
        subjects_of: Callable[[Account, str], Sequence[Subject]],
        devices: DeviceWeights,
        covered_by: Mapping[ObjectKey, Sequence[str]] | None = None,
    ) -> None:
        """
        Count pods that are charged to *tenant* by *subjects_of*. *covered_by* has the ids of the commitments that cover
        a pod; None: that is not known.
        """
        self._offers = offers
        self._tenant = tenant
        self._zones = tuple(dict.fromkeys(zones))
        self._subjects_of = subjects_of
        self._devices = devices
        self._covered_by = covered_by
        self._of_class: defaultdict[str, list[Offer]] = defaultdict(list)
        for each in offers:
            self._of_class[each.node_class].append(each)
        self._sums: defaultdict[tuple[str, str], Amount] = defaultdict(int)
        self._pods: defaultdict[tuple[str, str], list[tuple[str, Json]]] = defaultdict(list)

    def take(self, key: ObjectKey, row: Row) -> None:
        """Count a pod, if it is one of the tenant's."""
        if not row.amounts or self._tenant not in self._subjects_of(row.account, key.namespace):
            return
        classes = [name for name in scopes.values_of(scopes.NODE_CLASS, row.scopes) if name in self._of_class]
        if not classes:
            return
        amounts, zone = dict(self._devices.derive(row.amounts)), self._zone_of(row)
        for name in classes:
            offered = {each: amounts[each.resource] for each in self._of_class[name] if amounts.get(each.resource)}
            for offer, amount in offered.items():
                self._sums[offer.name, zone] += amount
            listing = self._offers.of(name, _LISTED_BY)
            if offered and listing is not None:
                title = f"{key.namespace}/{key.name}"
                self._pods[listing.name, zone].append((title, self._pod(title, row, listing, offered, key)))

    def report(self, quotas: Mapping[str, int], *, version: int) -> Json:
        """Return the report, with *quotas* in units, by the name of the resource; there is none where none is given."""
        return {
            "infoVersion": version,
            "resources": {
                each.name: {
                    "forbidden": False,
                    "quota": quotas.get(each.name, UNLIMITED),
                    "perAZ": {zone: self._of_zone(each, zone) for zone in self._zones_of(each)},
                }
                for each in self._offers
            },
        }

    def _zones_of(self, offer: Offer) -> tuple[str, ...]:
        is_elsewhere = (offer.name, UNKNOWN) in self._sums or (offer.name, UNKNOWN) in self._pods
        return (*self._zones, UNKNOWN) if is_elsewhere else self._zones

    def _of_zone(self, offer: Offer, zone: str) -> Json:
        pods = [pod for _, pod in sorted(self._pods.get((offer.name, zone), ()), key=lambda each: each[0])]
        usage = offer.at_least(self._sums.get((offer.name, zone), 0))
        return {"usage": usage, **({"subresources": pods} if pods else {})}

    def _pod(self, title: str, row: Row, listing: Offer, offered: Mapping[Offer, Amount], key: ObjectKey) -> Json:
        attributes: dict[str, object] = {
            short_name(each.resource): show(each.resource, amount) for each, amount in offered.items()
        }
        if self._covered_by is not None:
            attributes["commitments"] = list(self._covered_by.get(key, ()))
        usage = listing.at_least(offered.get(listing, 0))
        return {"id": row.uid, "name": title, "usage": usage, "attributes": attributes}

    def _zone_of(self, row: Row) -> str:
        zones = scopes.values_of(scopes.ZONE, row.scopes)
        return zones[0] if len(zones) == 1 and zones[0] in self._zones else UNKNOWN
