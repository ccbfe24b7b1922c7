"""
The kinds that the webhook knows, one row each. A new kind is added here, in one line.

Watches, ledger, attribution and commands follow the rows; tests compare the manifests with them.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from webhook.kinds.claims import PERSISTENT_VOLUME_CLAIMS
from webhook.kinds.counted import Counted, counted
from webhook.kinds.evaluator import AnyKind, Effect
from webhook.kinds.pods import BINDINGS, PODS
from webhook.kinds.resource_claims import RESOURCE_CLAIMS
from webhook.kinds.workloads import WORKLOADS
from webhook.quota.objects import CountedObject, OwnerReference
from webhook.quota.presets import PER_SESSION

_SIMILAR = 0.9
"""
From this ratio of `difflib` on a name is another one with a letter wrong: PersistentVolume and PersistentVolumeClaim
are less alike.
"""


class Registry:
    """
    Kinds by resource and by group and kind, as reviews, owner references and manifests name them.

    Those that cost nothing are charged by number from the moment a policy limits it: see `count`.
    """

    def __init__(self, *kinds: AnyKind) -> None:
        """Keep *kinds*; no two may have the same resource."""
        self._by_resource: dict[str, AnyKind] = {each.resource: each for each in kinds}
        if len(self._by_resource) < len(kinds):
            raise ValueError("a resource has two kinds")
        self._by_kind = {(each.group, each.kind): each for each in kinds}
        self.charged = tuple(each for each in kinds if each.is_charged)
        """Those that are charged under every policy."""
        self.makers = frozenset(maker for each in kinds for maker in each.makers)
        self.awaited: Mapping[str, tuple[str, str]] = {}
        """Kinds that a policy reads as sessions and that were not found yet: group and kind by resource."""
        self.unserved: frozenset[str] = frozenset()
        """Those of them that the API did not serve: no object can have such a controller."""

    def count(self, resources: Collection[str]) -> tuple[AnyKind, ...]:
        """
        Charge the kinds of *resources* by number, as long as this registry lives; return those that were free before.

        Those without a row can be judged from now on, but not read before `add` says what they are. A kind that no
        policy limits any more stays charged: that costs memory, and nobody is refused for it.
        """
        for resource in resources:
            self._by_resource.setdefault(resource, counted(resource, "", ""))
        found = (self._by_resource[resource] for resource in sorted(resources))
        new = tuple(
            replace(kind, shape=CountedObject, evaluator=Counted[Any](kind.count))
            for kind in found
            if kind.is_countable
        )
        for kind in new:
            self.add(kind)
        return new

    def add(self, kind: AnyKind) -> None:
        """Register *kind*, which has no row or another one, as long as this registry lives."""
        self._by_resource[kind.resource] = self._by_kind[kind.group, kind.kind] = kind
        self.makers |= kind.makers

    def is_session(self, reference: OwnerReference) -> bool:
        """Whether an owner reference names a kind whose objects are read as sessions."""
        return _is_of_sessions(self.of_object(reference.api_version, reference.kind))

    def awaits(self, reference: OwnerReference) -> bool:
        """Whether an owner reference names a kind that was not looked up yet: whose objects those are is unknown."""
        named = (reference.api_version.rpartition("/")[0], reference.kind)
        return any(each == named for resource, each in self.awaited.items() if resource not in self.unserved)

    def __iter__(self) -> Iterator[AnyKind]:
        return iter(self._by_resource.values())

    def of_resource(self, resource: str) -> AnyKind | None:
        """Return the kind with this plural and group; None if it is not registered."""
        return self._by_resource.get(resource)

    def of_object(self, api_version: str, kind: str) -> AnyKind | None:
        """Return the kind that a manifest names, in any version; None if it is not registered."""
        group = api_version.partition("/")[0] if "/" in api_version else ""
        return self._by_kind.get((group, kind))

    def meant_by(self, group: str, kind: str) -> AnyKind | None:
        """Return the kind of *group* of which *kind* is the name with a letter wrong; None for any other name."""
        known = {each.kind.lower(): each for each in self if each.group == group}
        close = difflib.get_close_matches(kind.lower(), known, n=1, cutoff=_SIMILAR)
        return known[close[0]] if close else None

    def of_name(self, name: str) -> AnyKind | None:
        """
        Return the kind that people mean by *name*: its plural, its singular or its kind, with or without its group.

        Only kinds that carry an owner have such names, which differ; None for any other name.
        """
        wanted, _, group = name.lower().partition(".")
        for each in self:
            if each.is_stamped and wanted in (each.plural, each.kind.lower()) and group in ("", each.group):
                return each
        return None

    def of_owner(self, api_version: str, kind: str) -> AnyKind | None:
        """Return the kind that an owner reference names, if controllers make objects for such owners."""
        found = self.of_object(api_version, kind)
        return found if found is not None and found.makers else None

    def effect(self, resource: str, operation: str, subresource: str) -> Effect:
        """Return what a request means; IGNORE for kinds that are not registered."""
        kind = self._by_resource.get(resource)
        return Effect.IGNORE if kind is None else kind.evaluator.effect(operation, subresource)

    def counts(self, resource: str, *, scopes: Iterable[str] = (), cap: str | None = None) -> bool:
        """
        Whether any kind with objects in all *scopes* can cost *resource*; another limit has no effect.

        With *cap*, only kinds that it binds. Every kind can be limited by number. Whether the API serves it, and in
        namespaces, is not known here.
        """
        wanted = frozenset(scopes)
        if not wanted and cap is None and resource.startswith("count/"):
            return True
        return any(
            wanted <= each.scopes and cap in (None, each.cap) and each.evaluator.counts(resource) for each in self
        )

    def caps(self) -> frozenset[str]:
        """Return the caps on one object that apply to any kind, as a policy names them."""
        return frozenset(each.cap for each in self.charged if each.cap)


def _is_of_sessions(kind: AnyKind | None) -> bool:
    return kind is not None and kind.cap == PER_SESSION


KINDS = Registry(PODS, BINDINGS, PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS, *WORKLOADS)
