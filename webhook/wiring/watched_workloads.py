"""
The workloads that autoscalers may scale, watched from the moment in which a policy sets room aside for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from webhook.kinds.autoscalers import Scaled
from webhook.kinds.pod_workload import SCALED
from webhook.kinds.registry import Registry
from webhook.kinds.workloads import Workload
from webhook.kube.api import KubernetesApi
from webhook.kube.autoscaled import AutoscaledWorkloads, WorkloadSink
from webhook.kube.reflector import Reflector
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, Reserve


class WatchedWorkloads:
    """Reflectors of all workloads that are counted by `spec.replicas`. Belongs to one event loop."""

    def __init__(self, api: KubernetesApi, kinds: Registry) -> None:
        """Watch those of *kinds* through *api*."""
        self.workloads = AutoscaledWorkloads()
        self._reflectors: dict[str, Reflector[Workload]] = {}
        for resource in SCALED.values():
            kind = kinds.of_resource(resource)
            assert kind is not None  # noqa: S101 - each has a row
            sink = WorkloadSink(resource, self.workloads)
            self._reflectors[resource] = Reflector(
                api, kind.collection, Workload, sink, resource=resource, undecodable=sink.undecodable
            )
        self._is_wanted = asyncio.Event()

    @property
    def known(self) -> Mapping[ObjectKey, Scaled]:
        """The workloads that are known, by key: a live view."""
        return self.workloads.known

    def follow(self, policy: Policy) -> None:
        """Watch from now on, if *policy*, which comes into force, sets anything aside for them."""
        if Reserve.AUTOSCALERS in policy.reserve:
            self._is_wanted.set()

    async def run(self) -> None:
        """Watch once a policy asks for it. One that asks no more ends no watch: what it shows is not used."""
        await self._is_wanted.wait()
        async with asyncio.TaskGroup() as group:
            for each in self._reflectors.values():
                group.create_task(each.run())

    def unknown(self) -> list[str]:
        """Return of which resources not all workloads are known: nobody knows how much is set aside for them."""
        return [resource for resource, each in self._reflectors.items() if not each.synced]
