"""
What a quota broker is told of this cluster and what it changes, by LIQUID.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Final

from webhook.kinds.pods import PODS
from webhook.kube.api import KubernetesApi
from webhook.kube.kept_policy import KeptPolicyConfigMap
from webhook.liquid.capacity import CapacityReport, known_use
from webhook.liquid.info import Json, OutdatedError, digest_of, service_info
from webhook.liquid.offers import Offers, offers_of
from webhook.liquid.ports import BrokerQuotas, CommitmentChanges, InfoVersions
from webhook.liquid.projects import tenant_of
from webhook.liquid.requests import CommitmentRequest, check_changes, check_quotas
from webhook.liquid.usage import ProjectUsage
from webhook.policy_source import CurrentPolicy
from webhook.ports import READY, Clock, Condition, UnavailableError
from webhook.quota.commitments import Pool
from webhook.quota.coverage import Coverage
from webhook.quota.policy import Policy
from webhook.quota.pool_limits import Capacity
from webhook.quota.resources import Amount
from webhook.quota.subject import tenant
from webhook.quota.usage import UsageIndex
from webhook.settings import Settings
from webhook.wiring.broker import WrittenCommitments, WrittenQuotas
from webhook.wiring.info_versions import StoredVersions
from webhook.wiring.row_steps import each_row

_AT_ONCE: Final = 2
"""Reports that are made at the same time: reviews come first."""


class Liquid:
    """Port `LiquidSource` of the server: made of the policy and the usage index. Belongs to one event loop."""

    def __init__(  # noqa: PLR0913 - only wiring calls this
        self,
        policy: CurrentPolicy,
        index: UsageIndex,
        *,
        conditions: Sequence[Callable[[], Condition]],
        capacity: Capacity,
        versions: InfoVersions,
        quotas: BrokerQuotas,
        changes: CommitmentChanges,
        clock: Clock,
    ) -> None:
        """Report only while all *conditions* hold; *capacity* is what nodes have."""
        self._policy = policy
        self._index = index
        self._conditions = conditions
        self._capacity = capacity
        self._versions = versions
        self._quotas = quotas
        self._changes = changes
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def info(self) -> Json:
        """Return the ServiceInfo. See `LiquidSource`."""
        policy = self._in_force()
        version, _ = await self._version(policy)
        return {"version": version, **service_info(offers_of(policy), policy.catalogue)}

    async def capacity(self, zones: Sequence[str]) -> Json:
        """Return the ServiceCapacityReport. See `LiquidSource`."""
        policy = self._known()
        version, offers = await self._version(policy)
        used = known_use(policy.commitments, self._index)
        found = CapacityReport(offers, zones, has=self._has, used=used)
        for _ in found.walk():
            await asyncio.sleep(0)
        return found.result(version=version)

    async def usage(self, project: str, zones: Sequence[str]) -> Json:
        """Return the ServiceUsageReport. See `LiquidSource`."""
        async with self._turns:
            policy = self._known()
            holder = tenant_of(policy, project)
            version, offers = await self._version(policy)
            quotas, pods = await self._quotas.of(holder, offers), self._index.snapshot(PODS.resource)
            subjects_of, devices, whom = self._index.subjects_of, policy.devices, tenant(holder)
            coverage = Coverage(
                policy.commitments, lambda each: each.holder == whom, subjects_of=subjects_of, devices=devices
            )
            await each_row(PODS.resource, pods, coverage.note)
            covered = await asyncio.to_thread(coverage.covered, self._clock.now())  # 0.1 s for 20 000 pods
            covered_by = {
                each.key: tuple(dict.fromkeys(part.commitment for part in parts)) for each, parts in covered.items()
            }
            found = ProjectUsage(offers, whom, zones, subjects_of=subjects_of, devices=devices, covered_by=covered_by)
            await each_row(PODS.resource, pods, found.take)
            return await asyncio.to_thread(found.report, quotas, version=version)

    async def change(self, request: CommitmentRequest) -> Json:
        """Make the changes of *request*. See `LiquidSource`."""
        policy = self._in_force()
        version, offers = await self._version(policy)
        if request.info_version != version:
            raise OutdatedError(request.info_version, version)
        check_changes(request, offers)
        tenants = {project: tenant_of(policy, project) for project in request.by_project}
        decision = await self._changes.change(request, offers, tenants)
        if not decision.rejected:
            return {}
        retry = {} if decision.retry_at is None else {"retryAt": decision.retry_at.astimezone(UTC)}
        return {"rejectionReason": decision.rejected, **retry}

    async def set_quotas(self, project: str, quotas: Mapping[str, int]) -> None:
        """Allow *project* these units. See `LiquidSource`."""
        policy = self._in_force()
        offers = offers_of(policy)
        check_quotas(quotas, offers)
        await self._quotas.put(tenant_of(policy, project), quotas, offers)

    def condition(self) -> Condition:
        """Return whether a broker is offered all that the policy has classes for."""
        policy = self._policy.state.policy
        left_out = offers_of(policy).left_out if policy is not None else ()
        if not left_out:
            return READY
        return Condition(ok=False, reason="liquid", message=f"not offered to the broker: {'; '.join(left_out)}")

    async def _version(self, policy: Policy) -> tuple[int, Offers]:
        offers = offers_of(policy)
        return await self._versions.version_of(digest_of(service_info(offers, policy.catalogue))), offers

    def _in_force(self) -> Policy:
        policy = self._policy.state.policy
        if policy is None:  # why not may quote what is written of others
            raise UnavailableError("policy", "no policy is in force yet")
        return policy

    def _known(self) -> Policy:
        """Return the policy in force, once all that is counted under it is known. Raises: UnavailableError."""
        policy = self._in_force()
        for condition in self._conditions:
            found = condition()
            if not found.ok:
                raise UnavailableError(found.reason, found.message)
        return policy

    def _has(self, pool: Pool) -> Mapping[str, Amount]:
        found = self._capacity.of(pool)
        if found is None:
            raise UnavailableError("nodes", "there are no nodes to ask")
        return found


def build_liquid(  # noqa: PLR0913 - only wiring calls this
    api: KubernetesApi,
    settings: Settings,
    clock: Clock,
    policy: CurrentPolicy,
    index: UsageIndex,
    *,
    conditions: Sequence[Callable[[], Condition]],
    capacity: Capacity,
) -> Liquid | None:
    """Return what a broker is told, None if *settings* serve none."""
    if not settings.liquid:
        return None
    store = KeptPolicyConfigMap(api, namespace=settings.namespace)
    return Liquid(
        policy,
        index,
        conditions=conditions,
        capacity=capacity,
        versions=StoredVersions(store, clock),
        quotas=WrittenQuotas(store),
        changes=WrittenCommitments(store),
        clock=clock,
    )
