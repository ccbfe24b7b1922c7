"""
Connects the audit of the usage index to the API, the metrics and the Events, and repairs what differs.

`ledger.usage_audit` compares them and decides when.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.kube.ledger_config_map import NAME
from webhook.ledger.usage_audit import Kind, Lister, Suspicion, audit_forever, find_drift
from webhook.ports import QuorumReader, Sleep
from webhook.quota.usage import UsageIndex
from webhook.serving.metrics import Metrics

log = structlog.get_logger(__name__)

_MAX_NAMED = 10
"""Objects named in one log line or Event."""


@dataclass(frozen=True, slots=True)
class Audit:
    """
    Compares `index` with the objects that `lister` and `quorum` read of each of the `resources` in it.

    `relist` restarts the watch of a resource with a full list.
    """

    index: UsageIndex
    resources: Collection[str]
    lister: Lister
    quorum: QuorumReader
    relist: Callable[[str], None]
    metrics: Metrics
    events: EventWriter
    sleep: Sleep

    async def once(self) -> None:
        """Compare every resource once; report and repair differences. Raises: UnavailableError."""
        for resource in tuple(self.resources):
            await self._compare(resource)

    async def _compare(self, resource: str) -> None:
        found = await find_drift(self.index, resource, lister=self.lister, quorum=self.quorum, sleep=self.sleep)
        if not found:
            return
        self.relist(resource)
        for each in found:
            self.metrics.drifted(each.kind)
        what = "; ".join(_described(found, kind) for kind in Kind if any(each.kind is kind for each in found))
        log.error(
            "the usage index differs from the stored objects; all are listed again", resource=resource, drift=what
        )
        message = f"The usage index differed from the stored objects, and all {resource} are listed again. {what}"
        self.events.publish(ConfigMapEvent(NAME, "", "DriftRepaired", message))

    async def run(self) -> None:
        """Compare about every ten minutes, forever."""
        await audit_forever(
            self.once, on_trouble=lambda error: self.metrics.count_error(error.reason), sleep=self.sleep
        )


def _described(found: tuple[Suspicion, ...], kind: Kind) -> str:
    names = [f"{each.key.namespace}/{each.key.name}" for each in found if each.kind is kind]
    shown = ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")
    return f"{kind.value} ({len(names)}): {shown}"
