"""
The workload that an autoscaler scales, read live for the review of the autoscaler: both may have been created together.

What is set aside for it, and who pays, is decided in `kinds/autoscalers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from webhook.admission.charge import Reviewed
from webhook.attribution.lineage import known_owner
from webhook.kinds.autoscalers import AutoscalerWithWorkload, scaled_if_countable, with_workload
from webhook.kinds.evaluator import AnyKind
from webhook.kinds.registry import Registry
from webhook.kinds.workloads import Workload
from webhook.ports import Ancestry, PodsOfWorkloads


@dataclass(frozen=True, slots=True)
class ScaledWorkloads:
    """Reads workloads of *kinds*, and finds their pods. Any number of calls may run concurrently."""

    ancestry: Ancestry
    pods: PodsOfWorkloads
    kinds: Registry

    async def beside(self, reviewed: Reviewed) -> Reviewed:
        """Return *reviewed*, the objects beside the workloads that they scale, if any. Raises: UnavailableError."""
        if not reviewed.kind.scales_others:
            return reviewed
        new = await self._beside(reviewed.kind, reviewed.new)
        old = None if reviewed.old is None else await self._beside(reviewed.kind, reviewed.old)
        return reviewed._replace(new=new, old=old)

    async def pod_names(self, reviewed: Reviewed, namespace: str) -> tuple[str, ...]:
        """Return the names of the pods of the workload that is scaled. Raises: UnavailableError."""
        if not isinstance(reviewed.new, AutoscalerWithWorkload) or (workload := reviewed.new.workload) is None:
            return ()
        return await self.pods.names(namespace, workload.uid, Raw(workload.selector))

    async def _beside(self, kind: AnyKind, obj: Any) -> Any:
        key = kind.evaluator.scales(obj)
        workload_kind = None if key is None else self.kinds.of_resource(key.resource)
        if key is None or workload_kind is None:
            return with_workload(obj, None)
        found = await self.ancestry.read_whole(workload_kind, key.namespace, key.name, Workload)
        if found is None:
            return with_workload(obj, None)
        return with_workload(obj, scaled_if_countable(found, known_owner(found.metadata)))
