"""
Reads a cluster for commands that judge a policy by it: page by page, with the rights of the caller, without a change.

What cannot be read is kept with its reason, and everything else is read nonetheless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec

from webhook.attribution.creations import Written
from webhook.doctor.features import NEEDED_VERSION, written
from webhook.kinds.evaluator import AnyKind, UncountableError
from webhook.kinds.registry import Registry
from webhook.kinds.session_marks import NamespaceTexts
from webhook.kube.access import Right, may
from webhook.kube.api import JSON, ApiError, KubernetesApi
from webhook.kube.device_classes import DeviceClass, second_names
from webhook.kube.discovery import UnsuitableKindError, discover
from webhook.kube.group_objects import COLLECTION, RESOURCE, GroupObject
from webhook.kube.identity_leases import read_renewals
from webhook.kube.namespaces import Namespace
from webhook.kube.object_list import METADATA_LIST, UnservedError, read_raw_pages
from webhook.kube.server_version import UnreachedError, read_version
from webhook.ports import UnavailableError
from webhook.preflight.census import Census
from webhook.preflight.report import Gap, Unreadable
from webhook.preflight.traces import Marked, Trace, shape_of
from webhook.quota.errors import UNREADABLE
from webhook.quota.membership import GroupsByMember, groups_by_member
from webhook.quota.objects import AnyObject
from webhook.quota.policy import Policy
from webhook.quota.presets import Preset
from webhook.registration import RegistrationError, default_exemptions, manifest_files, read_live_exemptions
from webhook.wiring.file_kinds import presets_of_others, read_as_sessions, rows_under

T = TypeVar("T")

_CORE = "/api/v1"
_DEVICES_VERSION = "resource.k8s.io/v1"
_LEASES = Right("list", "leases.coordination.k8s.io", "kube-system")

_marked_decoder = msgspec.json.Decoder(Marked)
_trace_decoder = msgspec.json.Decoder(Trace)


def _written(raw: msgspec.Raw) -> Written:
    return _marked_decoder.decode(raw).metadata


class ClusterLook:
    """One look at a cluster. `gaps` are what it lacks, `unreadable` is what could not be read."""

    def __init__(self, api: KubernetesApi) -> None:
        """Look through *api*."""
        self._api = api
        self.gaps: list[Gap] = []
        self.unreadable: list[Unreadable] = []

    async def version(self) -> str:
        """Return the server's version, empty if it cannot be read. Raises: UnreachedError."""
        try:
            found = await read_version(self._api)
        except UnreachedError:
            raise
        except UnavailableError as error:
            self._unread("version", error)
            return ""
        if found[:2] < NEEDED_VERSION:
            needed = written(NEEDED_VERSION)
            why = f"userquota needs {needed} or newer: from then on matchConditions of webhooks are stable"
            self._lack(f"Kubernetes {found.text}", why, is_fatal=True)
        return found.text

    async def find_leases(self) -> None:
        """Look for the identity Leases of the API servers."""
        try:
            if not await self._may(_LEASES):
                return
            renewals = await read_renewals(self._api)
        except UnavailableError as error:
            self._unread(_LEASES.resource, error)
            return
        if not renewals:
            why = "no API server renews one: what a server that stands still may still store is not held"
            self._lack("identity Leases in kube-system", why)

    async def exempt_namespaces(self) -> frozenset[str]:
        """Return the namespaces that the webhook configurations exempt."""
        manifests = manifest_files.webhook_manifests()
        try:
            return await read_live_exemptions(self._api, manifests)
        except (ApiError, RegistrationError) as error:
            self._unread("webhook configurations", error)
            return default_exemptions(manifests)

    async def namespaces(self) -> Mapping[str, NamespaceTexts]:
        """Return what all namespaces carry."""
        items = self._decoded("namespaces", f"{_CORE}/namespaces", Namespace)
        found = [each.metadata async for each in items]
        return {each.name: NamespaceTexts(each.labels or {}, each.annotations or {}) for each in found}

    async def second_names(self) -> Mapping[str, str]:
        """Return the second names of devices, see `device_classes.second_names`."""
        path = f"/apis/{_DEVICES_VERSION}/deviceclasses"
        return second_names([each async for each in self._decoded("deviceclasses.resource.k8s.io", path, DeviceClass)])

    async def groups(self, policy: Policy) -> GroupsByMember:
        """Return the groups of everybody whom Groups list, if *policy* takes members from those."""
        if policy.group_objects is None:
            return {}
        items = self._decoded(RESOURCE, COLLECTION, GroupObject)
        return groups_by_member({each.metadata.name: each.members async for each in items})

    async def kinds(self, policy: Policy) -> Registry:
        """
        Return the kinds under *policy*: those with a row, and those that the API serves of all that it limits by number
        or reads as sessions.
        """
        registry = rows_under(policy)
        known = {each.resource for each in registry if each.is_charged or each.is_countable}
        registry.count(policy.counted & known)
        presets = presets_of_others(policy)
        for resource in sorted((policy.counted | presets.keys()) - known):
            listed = presets.get(resource, ())
            try:
                kind = await discover(self._api, resource)
            except UnsuitableKindError as error:
                self._lack_kind(resource, listed, error, is_limited=resource in policy.counted)
            except UnavailableError as error:
                self._unread(resource, error)
            else:
                registry.add(read_as_sessions(kind, listed, policy, registry) if listed else kind)
        return registry

    def _lack_kind(
        self, resource: str, presets: Sequence[Preset], error: UnsuitableKindError, *, is_limited: bool
    ) -> None:
        if is_limited:
            self._lack(f"count/{resource}", f"{error}: the limit has no effect")
        if presets:
            names = ", ".join(each.name for each in presets)
            self._lack(resource, f"{error}: preset {names} reads nothing, and there are no such sessions")

    async def informed(self, *policies: Policy) -> tuple[Policy, ...]:
        """Return *policies* with what objects of the cluster tell: second names of devices, and members of Groups."""
        names = await self.second_names()
        groups = await self.groups(next((each for each in policies if each.group_objects is not None), policies[0]))
        return tuple(each.with_second_names(names).with_group_objects(groups) for each in policies)

    async def census(
        self, policy: Policy, *, exempt: Container[str], now: datetime, with_workloads: bool = True
    ) -> tuple[Census, Registry]:
        """
        Return what exists under *policy* outside of namespaces that are *exempt*, and the kinds under it.

        *with_workloads* are also taken what costs nothing itself and makes what does.
        """
        namespaces = await self.namespaces()
        census = Census(
            policy,
            labels={name: texts.labels for name, texts in namespaces.items()},
            annotations={name: texts.annotations for name, texts in namespaces.items()},
            exempt=exempt,
            now=now,
        )
        kinds = await self.kinds(policy)
        for kind in kinds:
            if kind.is_charged or (with_workloads and kind.makers):
                await self.count(kind, census)
        return census, kinds

    async def count(self, kind: AnyKind, census: Census) -> None:
        """Take all objects of *kind* into *census*; one that cannot be read is counted as one, and told."""
        shape = shape_of(kind)
        decoder = msgspec.json.Decoder(shape)
        accept = METADATA_LIST if issubclass(shape, AnyObject) else JSON
        async for raw in self._items(kind.resource, kind.collection, accept):
            trace = self._trace(kind, raw)
            if trace is None:
                continue
            meta = trace.metadata
            try:
                item = decoder.decode(raw)
                census.take(kind, item, meta, written=partial(_written, raw))
            except UncountableError as error:
                self._unread(f"{kind.resource} {meta.namespace}/{meta.name}", error)
            except UNREADABLE as error:
                self._unread(f"{kind.resource} {meta.namespace}/{meta.name}", error)
                census.take_unreadable(kind, meta)

    def _trace(self, kind: AnyKind, raw: msgspec.Raw) -> Trace | None:
        try:
            return _trace_decoder.decode(raw)
        except UNREADABLE as error:
            self._unread(kind.resource, f"the metadata of an object do not fit: {error}")
            return None

    async def _decoded(self, resource: str, collection: str, shape: type[T]) -> AsyncIterator[T]:
        decoder = msgspec.json.Decoder(shape)
        async for raw in self._items(resource, collection, JSON):
            try:
                yield decoder.decode(raw)
            except UNREADABLE as error:
                self._unread(resource, f"an object does not fit: {error}")

    async def _items(self, resource: str, collection: str, accept: str) -> AsyncIterator[msgspec.Raw]:
        """Return the objects of *collection*, as far as they can be read; one lies in the memory of its page."""
        try:
            if not await self._may(Right("list", resource)):
                return
            async for page in read_raw_pages(self._api, collection, resource=resource, accept=accept):
                for raw in page:
                    yield raw
        except UnservedError as error:
            if collection.startswith(f"/apis/{_DEVICES_VERSION}/"):
                self._lack(_DEVICES_VERSION, "the API does not serve it: no ResourceClaim is counted")
            else:
                consequence = "they list nobody" if resource == RESOURCE else "none is counted"
                self._lack(resource, f"{error}: {consequence}")
        except UnavailableError as error:
            self._unread(resource, error)

    async def _may(self, right: Right) -> bool:
        """Whether we have *right*; if not, that is told. Raises: UnavailableError."""
        is_allowed = await may(self._api, right)
        if not is_allowed:
            self._unread(right.resource, f"you may not {right}")
        return is_allowed

    def _lack(self, what: str, consequence: str, *, is_fatal: bool = False) -> None:
        gap = Gap(what, consequence, is_fatal)
        if gap not in self.gaps:
            self.gaps.append(gap)

    def _unread(self, what: str, why: object) -> None:
        self.unreadable.append(Unreadable(what, str(why)))
