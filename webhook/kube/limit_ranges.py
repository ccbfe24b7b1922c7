"""
The bounds that the LimitRanges of a namespace set for containers, read live.

They are read only for a pod into which a default is filled, so that a cluster whose policy has none needs no watch and
no right for it. LimitRanger checks the result in any case: what changed a moment ago leads to its refusal at worst.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from urllib.parse import quote

import msgspec
from msgspec import Raw

from webhook.kinds.evaluator import UncountableError
from webhook.kinds.resource_lists import read_list
from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi
from webhook.kube.shared_read import SharedRead
from webhook.ports import UnavailableError
from webhook.quota.missing import NO_BOUNDS, Bounds
from webhook.quota.objects import NOTHING, Shape
from webhook.quota.quantity import NANOS

_TIMEOUT = 4.0
"""Seconds: less than the 4.5 in which an admission review has to be answered."""

_MOST_NAMESPACES = 10_000


class LimitRangeItem(Shape, frozen=True):
    """One item of a LimitRange."""

    type: str = ""
    min: Raw = NOTHING
    max: Raw = NOTHING
    max_limit_request_ratio: Raw = NOTHING
    default: Raw = NOTHING
    default_request: Raw = NOTHING


class LimitRangeSpec(Shape, frozen=True):
    """The items of a LimitRange."""

    limits: list[LimitRangeItem] | None = None


class LimitRange(Shape, frozen=True):
    """A LimitRange."""

    spec: LimitRangeSpec = LimitRangeSpec()


class LimitRangeList(Shape, frozen=True):
    """The LimitRanges of a namespace."""

    items: list[LimitRange] | None = None


_decoder = msgspec.json.Decoder(LimitRangeList)


class LimitRangeReads:
    """Port `LimitRanges`. Calls for one namespace at the same time share a read. Belongs to one event loop."""

    def __init__(self, api: KubernetesApi, *, monotonic: Callable[[], float], most: int = _MOST_NAMESPACES) -> None:
        """Read through *api*, and remember at most *most* namespaces."""
        self._api = api
        self._monotonic = monotonic
        self._most = most
        self._known: dict[str, SharedRead[Mapping[str, Bounds]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def bounds(self, namespace: str) -> Mapping[str, Bounds]:
        """Return the bounds in *namespace*, at most a second old. See `LimitRanges.bounds`."""
        known = self._known.get(namespace)
        if known is None:
            if len(self._known) >= self._most:
                self._known.clear()
            known = SharedRead(partial(self._read, namespace), monotonic=self._monotonic)
            self._known[namespace] = known
        return await known.value()

    async def _read(self, namespace: str) -> Mapping[str, Bounds]:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/limitranges"
        try:
            listed = _decoder.decode(await self._api.get(path, timeout=_TIMEOUT))
            return bounds_of(listed)
        except (ApiError, *UNREADABLE, UncountableError) as error:
            why = f"the LimitRanges of namespace {namespace} could not be read: {error}"
            raise UnavailableError("limit-ranges", why) from error


def bounds_of(listed: LimitRangeList) -> Mapping[str, Bounds]:
    """
    Return the tightest bounds of all items for containers, and the first defaults, by resource.

    Raises: UncountableError.
    """
    found: dict[str, Bounds] = {}
    for item in (item for each in listed.items or () for item in each.spec.limits or ()):
        if item.type != "Container":
            continue
        for name, least in (read_list(bytes(item.min), "min") or {}).items():
            known = found.get(name, NO_BOUNDS)
            found[name] = replace(known, least=max(least.nanos, known.least or 0))
        for name, most in (read_list(bytes(item.max), "max") or {}).items():
            known = found.get(name, NO_BOUNDS)
            found[name] = replace(known, most=most.nanos if known.most is None else min(most.nanos, known.most))
        for name, written in (read_list(bytes(item.max_limit_request_ratio), "maxLimitRequestRatio") or {}).items():
            known, ratio = found.get(name, NO_BOUNDS), Fraction(written.nanos, NANOS)
            found[name] = replace(known, ratio=ratio if known.ratio is None else min(ratio, known.ratio))
        for name, given in (read_list(bytes(item.default_request), "defaultRequest") or {}).items():
            known = found.get(name, NO_BOUNDS)
            found[name] = replace(known, request=known.request or given)
        for name, given in (read_list(bytes(item.default), "default") or {}).items():
            known = found.get(name, NO_BOUNDS)
            found[name] = replace(known, limit=known.limit or given)
    return found
