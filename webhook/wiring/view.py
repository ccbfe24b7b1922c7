"""
What people see of the quotas, made of this replica's usage index, and the port at which they see it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from webhook.admission.check_status import status_of
from webhook.admission.manifests import Check
from webhook.certificates import ServingIdentity
from webhook.documents.object_text import RawObject
from webhook.kube.access import CallersRights
from webhook.kube.api import KubernetesApi
from webhook.kube.front_proxy import COLLECTION, NAME, FrontProxyConfigMap, PublishedTrust
from webhook.kube.reflector import Reflector
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Caller, Clock, Condition, UnavailableError
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy
from webhook.quota.pool_limits import Capacity
from webhook.quota.subject import Account, Payer, Subject
from webhook.quota.usage import Row, UsageIndex
from webhook.serving.front_proxy import FrontProxy
from webhook.serving.liquid_server import LiquidServer
from webhook.serving.view_server import ErrorMeter, ViewServer
from webhook.settings import Settings
from webhook.view import wire
from webhook.view.allocations import Allocations, Page, Selection, UnknownResourceError, UnknownTagError
from webhook.view.holders import Largest, by_part_of, by_resource
from webhook.view.pools import commitments, coverage_of, pools, standing_of
from webhook.view.standings import Everybody, Scene, own_quota
from webhook.wiring.application import Task, expect
from webhook.wiring.liquid import Liquid
from webhook.wiring.row_steps import ROWS_A_STEP, each_row

_AT_ONCE: Final = 2
"""Views that are made at the same time: anybody may ask, and reviews come first."""

_SUBJECTS_A_STEP: Final = 10
"""Work between two steps of the event loop, about a millisecond."""

_OWN_HOLDERS: Final = 10


class KnownNamespaces(Protocol):
    """The namespaces that are known, and their labels."""

    def known(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace, none for one that is not known."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the names of all."""
        ...


class Checks(Protocol):
    """Checks manifests for whoever asks."""

    async def of(self, caller: Caller, namespace: str, objects: Sequence[RawObject]) -> Check:
        """Return whether *objects* would fit if *caller* submitted them now. Raises: UnavailableError, ReviewError."""
        ...


class Views:
    """Port `ViewSource` of the server: made of the usage index, in small steps. Belongs to one event loop."""

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        policy: CurrentPolicy,
        index: UsageIndex,
        labels: KnownNamespaces,
        checks: Checks,
        *,
        clock: Clock,
        conditions: Sequence[Callable[[], Condition]],
        resources: Callable[[], Sequence[str]],
        capacity: Capacity,
        tagged: Callable[[], Condition] = lambda: READY,
    ) -> None:
        """
        Answer only while all *conditions* hold, and of a selection by tags while these are *tagged*; *resources*
        returns the plurals of all that is counted, *capacity* what nodes have.
        """
        self._tagged = tagged
        self._capacity = capacity
        self._policy = policy
        self._index = index
        self._labels = labels
        self._checks = checks
        self._clock = clock
        self._conditions = conditions
        self._resources = resources
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def own(self, caller: Caller, namespace: str) -> wire.Json:
        """Return the SelfQuota of *caller*. See `ViewSource`."""
        async with self._turns:
            scene = self._scene()
            payer = Payer(caller.name, tuple(sorted(set(caller.groups))))
            quota = own_quota(scene, payer, namespace)
            exemption = scene.policy.exemptions.of(Account(payer), namespace, scene.now)
            weigh = by_part_of(quota, scene.policy.holder_of(payer))
            largest = Largest(scene, weigh, limit=_OWN_HOLDERS, owner=caller.name)
            await self._walk(largest.take)
            return wire.self_quota(caller.name, namespace, quota, largest.result(), exemption)

    async def check(self, caller: Caller, namespace: str, objects: Sequence[RawObject]) -> wire.Json:
        """Return the QuotaCheck of *objects*. See `ViewSource`."""
        async with self._turns:
            self._scene()
            status = status_of(await self._checks.of(caller, namespace, objects))
            return wire.quota_check(caller.name, namespace, msgspec.to_builtins(status))

    async def all(self) -> list[wire.Json]:
        """Return all Quotas. See `ViewSource`."""
        async with self._turns:
            everybody = await self._everybody()
            found: list[wire.Json] = []
            for number, whom in enumerate(everybody.subjects(), start=1):
                found.append(wire.quota_of(whom, everybody.quota(whom)))
                if not number % _SUBJECTS_A_STEP:
                    await asyncio.sleep(0)
            return found

    async def one(self, whom: Subject) -> wire.Json | None:
        """Return the Quota of *whom*. See `ViewSource`."""
        async with self._turns:
            everybody = await self._everybody()
            kind, _, name = whom.partition("/")
            if kind == "user" and name:
                everybody.expect(Payer(name))
            return wire.quota_of(whom, everybody.quota(whom)) if whom in everybody.subjects() else None

    async def holders(self, resource: str, whom: Subject | None, limit: int) -> list[wire.Json]:
        """Return the Holders of most of *resource*. See `ViewSource`."""
        async with self._turns:
            scene = self._scene()
            largest = Largest(scene, by_resource(resource), limit=limit, whom=whom)
            await self._walk(largest.take)
            return [wire.holder(each, scene.policy.catalogue) for each in largest.result()]

    async def allocations(self, selection: Selection, limit: int, after: ObjectKey | None) -> Page:
        """Return the allocations of *selection*. See `ViewSource`."""
        async with self._turns:
            scene = self._scene()
            holdings = self._index.holdings()
            counted = {*self._resources(), *holdings.rows}
            if selection.resource and selection.resource not in counted:
                raise UnknownResourceError(counted)
            self._require_tags(selection, scene.policy)
            found = Allocations(scene, selection, limit=limit, after=after)
            for number, _ in enumerate(found.walk(holdings), start=1):
                if not number % ROWS_A_STEP:
                    await asyncio.sleep(0)
            return found.result()

    async def pools(self) -> list[wire.Json]:
        """Return the Pools of nodes of which anything was promised. See `ViewSource`."""
        async with self._turns:
            return [wire.pool(each) for each in pools(self._scene(), self._capacity)]

    async def commitments(self) -> list[wire.Json]:
        """Return all Commitments. See `ViewSource`."""
        async with self._turns:
            found: list[wire.Json] = []
            for number, each in enumerate(commitments(self._scene()), start=1):
                found.append(wire.commitment(each))
                if not number % _SUBJECTS_A_STEP:
                    await asyncio.sleep(0)
            return found

    async def commitment(self, name: str) -> wire.Json | None:
        """Return a Commitment with the objects that it covers. See `ViewSource`."""
        async with self._turns:
            scene = self._scene()
            found = next((each for each in scene.policy.commitments.every if each.name == name), None)
            if found is None:
                return None
            coverage = coverage_of(scene, name)
            await self._walk(coverage.note)
            covered = await asyncio.to_thread(coverage.covered, scene.now)  # 0.1 s for 20 000 objects
            return wire.covering_commitment(standing_of(scene, found), covered)

    def _require_tags(self, selection: Selection, policy: Policy) -> None:
        """
        Check that the tags that *selection* names are known of all objects.

        Raises: UnknownTagError, UnavailableError while objects are read anew because another policy names others.
        """
        if not selection.terms:
            return
        for each in selection.terms:
            if each.key not in policy.tags:
                raise UnknownTagError(each.key, policy.tags)
        condition = self._tagged()
        if not condition.ok:
            raise UnavailableError(condition.reason, condition.message)

    def _scene(self) -> Scene:
        """Return what is known now. Raises: UnavailableError while something is not."""
        policy = self._policy.state.policy
        if policy is None:  # why not may quote what is written of others
            raise UnavailableError("policy", "no policy is in force yet")
        for condition in self._conditions:
            found = condition()
            if not found.ok:
                raise UnavailableError(found.reason, found.message)
        return Scene(policy, self._index, self._labels.known, self._clock.now())

    async def _everybody(self) -> Everybody:
        everybody = Everybody(self._scene(), self._labels.names())
        await self._walk(lambda key, row: everybody.note(row.account, key.namespace))
        for each in tuple(self._index.reservations()):
            everybody.note(each.account, each.key.namespace)
        return everybody

    async def _walk(self, take: Callable[[ObjectKey, Row], None]) -> None:
        """Call *take* with each object that is counted; the loop goes on in between."""
        for resource in tuple(self._resources()):
            await each_row(resource, self._index.snapshot(resource), take)


@dataclass(frozen=True, slots=True)
class ViewPort:
    """The server of the view, where it listens, and whom it believes."""

    server: ViewServer
    front_proxy: FrontProxy
    host: str
    port: int
    tls: ssl.SSLContext
    tasks: tuple[Task, ...]
    liquid: Liquid | None = None

    async def start(self) -> None:
        """Listen. Raises: OSError if the port is taken."""
        await self.server.start(self.host, self.port, self.tls)

    async def close(self) -> None:
        """Answer what is being answered, and stop."""
        await self.server.close()

    def condition(self) -> Condition:
        """Return whether API servers can pass requests on."""
        why = "nobody can see quotas: it is not known how an API server proves itself, see docs/view.md"
        return expect(self.front_proxy.is_known, "front-proxy", why)

    def liquid_condition(self) -> Condition:
        """Return whether a broker is offered all that it might be, see `Liquid`."""
        return READY if self.liquid is None else self.liquid.condition()


def build_view(  # noqa: PLR0913, PLR0917 - only wiring calls this
    api: KubernetesApi,
    settings: Settings,
    identity: ServingIdentity,
    views: Views,
    meter: ErrorMeter,
    liquid: Liquid | None = None,
) -> ViewPort | None:
    """Return the port of the view, None if *settings* name none; *liquid* is served there as well, if it is given."""
    if settings.view_host is None:
        return None
    context = identity.for_another_port()
    front_proxy = FrontProxy(context)
    watch = Reflector(
        api,
        COLLECTION,
        FrontProxyConfigMap,
        PublishedTrust(front_proxy.trust),
        query={"fieldSelector": f"metadata.name={NAME}"},
        resource="front-proxy",
    )
    rights = CallersRights(api)
    others = () if liquid is None else (LiquidServer(liquid, rights),)
    server = ViewServer(views, front_proxy, rights, meter, others=others)
    return ViewPort(server, front_proxy, settings.view_host, settings.view_port, context.context, (watch.run,), liquid)
