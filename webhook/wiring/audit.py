"""
The audit of the book against the API: its parts put together, and what follows where they differ.

How they are compared is told in `quota.drift`, when in `reconcile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from webhook.kinds.registry import PODS
from webhook.kube.events import ConfigMapEvent, EventWriter
from webhook.kube.ledger_config_map import NAME
from webhook.ledger.usage_audit import Kind, Lister, Suspicion, audit_forever, find_drift
from webhook.ports import QuorumReader, Sleep
from webhook.quota.usage import UsageIndex
from webhook.serving.metrics import Metrics

log = structlog.get_logger(__name__)

_MOST_NAMED = 10
"""Objects that are named in one line of the log, or one Event."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Compares *book* with what *lister* and *quorum* find; *relist* makes the watch of pods begin with a full list."""

    index: UsageIndex
    lister: Lister
    quorum: QuorumReader
    relist: Callable[[], None]
    metrics: Metrics
    events: EventWriter
    sleep: Sleep

    async def once(self) -> None:
        """Compare once; where they differ, say so and have it repaired. Raises: UnavailableError."""
        found = await find_drift(self.index, PODS, lister=self.lister, quorum=self.quorum, sleep=self.sleep)
        if not found:
            return
        self.relist()
        for each in found:
            self.metrics.drifted(each.kind)
        what = "; ".join(_described(found, kind) for kind in Kind if any(each.kind is kind for each in found))
        log.error("what is counted differed from what is stored: all pods are listed anew", drift=what)
        message = f"What was counted differed from what is stored, and all pods are listed anew. {what}"
        self.events.publish(ConfigMapEvent(NAME, "", "DriftRepaired", message))

    async def run(self) -> None:
        """Compare every ten minutes or so, forever."""
        await audit_forever(
            self.once, on_trouble=lambda error: self.metrics.count_error(error.reason), sleep=self.sleep
        )


def _described(found: tuple[Suspicion, ...], kind: Kind) -> str:
    names = [f"{each.key.namespace}/{each.key.name}" for each in found if each.kind is kind]
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    return f"{kind.value} ({len(names)}): {shown}"
