"""
What a broker is told of the service (LIQUID's `ServiceInfo`), and the version of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec

from webhook.liquid.offers import Offer, Offers, short_name
from webhook.quota.catalogue import Catalogue
from webhook.quota.errors import WebhookError

Json: TypeAlias = Mapping[str, object]

_SERVICE = "Kubernetes"


class OutdatedError(WebhookError):
    """The broker knows another version of the info than the one in force."""

    def __init__(self, known: int, current: int) -> None:
        """Say which version it named, *known*, and which is *current*."""
        super().__init__(f"infoVersion: {known} is not the current version {current}: read GET v1/info again")


def service_info(offers: Offers, catalogue: Catalogue) -> Json:
    """
    Return the ServiceInfo without its version, with the display names of *catalogue*.

    Capacity and usage are told by zone, quotas are not: `az-aware`.
    """
    return {
        "displayName": _SERVICE,
        "categories": {},
        "resources": {each.name: _resource(each, catalogue) for each in offers},
        "rates": {},
        "capacityMetricFamilies": {},
        "usageMetricFamilies": {},
    }


def digest_of(info: Json) -> str:
    """Return a text that is the same for the same *info*, whatever the order of its resources."""
    return hashlib.sha256(msgspec.json.encode(info, order="sorted")).hexdigest()


def next_version(stored: int, now: datetime) -> int:
    """Return the version of an info that differs from the *stored* one: the time in seconds, and always more."""
    return max(stored + 1, int(now.timestamp()))


def _resource(each: Offer, catalogue: Catalogue) -> Json:
    about = catalogue.get(each.resource)
    said = about.display_name if about is not None and about.display_name else short_name(each.resource)
    return {
        "displayName": f"{said} ({each.node_class})",
        **({"unit": each.unit} if each.unit else {}),
        "topology": "az-aware",
        "hasCapacity": True,
        "needsResourceDemand": False,
        "hasQuota": True,
        "handlesCommitments": each.takes_commitments,
        "attributes": {"nodeClass": each.node_class, "resource": each.resource},
    }
