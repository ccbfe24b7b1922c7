"""
I1: no increase brings a sum above the limit that was in force at the decision.

Two moments are judged: a claim that enters the ledger may not bring pods and claims together over the limit, which
is the stricter of the two; and a pod whose cost grows may not bring the pods over it.

Which limit was in force at a replica is not recorded. The check takes the highest that was stored at any time from some
seconds before the claim entered the ledger until it did; times of stalled watches do not count as seconds.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import NamedTuple

from nemesis import showing
from nemesis.accounting import Key, Limits, subjects
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Amount
from nemesis.records import TextRevision
from nemesis.timeline import Spans
from nemesis.world import Row, Step, World

LIMIT_LAG = 5.0
"""Seconds: a policy is in force 2 s after it was stored, and a decision is written within 3 s, or dropped."""


class LimitHistory:
    """The policies that were stored, and the limits that may have been in force at a time."""

    def __init__(self, troubles: Spans) -> None:
        self._troubles = troubles
        self._policies: list[tuple[float, int, Limits]] = []

    def take(self, text: TextRevision) -> None:
        self._policies.append((text.at, text.version, Limits(text.text)))

    def possible(self, key: Key, *, since: float, until: int) -> set[int | None]:
        """Return every limit on *key* that may have been in force at a replica from a time until a version."""
        begun, found = self._troubles.before(since, LIMIT_LAG), set[int | None]()
        for at, version, limits in reversed(self._policies):
            if version < until:
                found.add(limits.hard(key))
            if at <= begun:
                break
        return found


class Decided(NamedTuple):
    """When and at what version a decision was written; a range where that is not known."""

    since: float
    until: int


class _Risen(NamedTuple):
    key: Key
    total: Amount
    at: float
    version: int
    by: str


class LimitsCheck:
    """Judges every increase."""

    def __init__(self, findings: Findings, limits: LimitHistory) -> None:
        self._findings = findings
        self._limits = limits

    def on_step(self, world: World, step: Step) -> None:
        """Judge the increase by new claims."""
        decided = Decided(step.at, step.version)
        by_key = defaultdict[Key, list[str]](list)
        for slot, key in step.risen:
            by_key[key].append(str(slot))
        for key, slots in by_key.items():
            by = f"claims on {', '.join(slots)}"
            self._judge(world, _Risen(key, world.counted[key], step.at, step.version, by), decided)

    def on_grown(self, world: World, row: Row, decided: Decided, *, at: float) -> None:
        """Judge a pod whose cost grew."""
        for subject, name in product(subjects(row.payer), row.raised):
            key = Key(subject, name)
            self._judge(world, _Risen(key, world.used[key], at, row.version, showing.row(row)), decided)

    def _judge(self, world: World, risen: _Risen, decided: Decided) -> None:
        self._findings.counts["sums compared with limits"] += 1
        possible = self._limits.possible(risen.key, since=decided.since, until=decided.until)
        highest = max((hard for hard in possible if hard is not None), default=None)
        if None in possible or highest is None or risen.total <= highest:
            return
        self._findings.violated(
            Invariant.NO_OVER_ADMISSION,
            f"{risen.key} rose to {showing.amount(risen.total)}, the limit was {showing.amount(highest)} at most: "
            f"{risen.by}",
            at=risen.at,
            version=risen.version,
            context=showing.account(world, risen.key),
        )
