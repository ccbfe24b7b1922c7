"""
A figure, not a check: how soon after a deletion a user at the limit gets the room back.
"""

from __future__ import annotations

from nemesis.accounting import Key, payer_of
from nemesis.findings import Findings
from nemesis.limits_check import LimitHistory
from nemesis.records import DELETED, PODS, PodRevision, Revision
from nemesis.world import Step, World


class FreedRoom:
    """Measures from the revision that deletes a pod of a user at the limit to that user's next reservation, or pod."""

    def __init__(self, findings: Findings, limits: LimitHistory) -> None:
        self._findings = findings
        self._limits = limits
        self._freed: dict[str, float] = {}

    def before_pod(self, world: World, pod: PodRevision) -> None:
        """Record a deletion, or its beginning without a grace period, while the pod still counts."""
        row = world.rows.get(pod.slot)
        if not (pod.event == DELETED or pod.is_released) or row is None or not row.amounts:
            return
        key = Key(f"user/{pod.owner}", "pods")
        possible = self._limits.possible(key, since=pod.at, until=pod.version)
        if possible == {world.counted[key]} and all(self._has_room(world, pod, each) for each in payer_of(pod).groups):
            self._freed.setdefault(pod.owner, pod.at)

    def on_step(self, step: Step) -> None:
        """Record a request that was allowed."""
        for owner in {claim.payer.owner for claim in step.new if claim.slot.kind == PODS and not claim.base}:
            if owner in self._freed:
                self._findings.freed.append(step.at - self._freed.pop(owner))

    def used(self, owner: str, stored: Revision) -> None:
        """Record what was allowed without a reservation, once it is stored."""
        if stored.slot.kind == PODS and owner in self._freed:
            self._findings.freed.append(stored.at - self._freed.pop(owner))

    def _has_room(self, world: World, pod: PodRevision, group: str) -> bool:
        key = Key(f"group/{group}", "pods")
        possible = self._limits.possible(key, since=pod.at, until=pod.version)
        return all(hard is None or world.counted[key] < hard for hard in possible)
