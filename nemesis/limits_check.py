"""
I1: no increase brings a sum above the limit that was in force at the decision.

Two moments are judged: a claim that enters the ledger may not bring objects and claims together over the limit, which
is the stricter of the two; and an object whose cost grows may not bring the objects over it.

What a replica allowed under its grant and writes down when it gives that back was decided before: by a limit from then.

A status may: it reports what is the case. What it raises counts for everybody else, from then on: what was decided
before it and is stored after it is judged without, and so is what stands before it in the same write of the ledger.

Which limit was in force at a replica is not recorded. The check takes the highest that was stored at any time from some
seconds before the claim entered the ledger until it did; times of stalled watches do not count as seconds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Container
from functools import partial
from itertools import product
from typing import NamedTuple

from nemesis import showing
from nemesis.accounting import Key, Limits, subjects
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Amount
from nemesis.records import Slot, TextRevision
from nemesis.timeline import Spans
from nemesis.world import Risen, Row, Step, World

LIMIT_LAG = 5.0
"""Seconds: a policy is in force 2 s after it was stored, and a decision is written within 3 s, or dropped."""


class LimitHistory:
    """The policies that were stored, and the limits that may have been in force at a time."""

    def __init__(self, troubles: Spans) -> None:
        self._troubles = troubles
        self._policies: list[tuple[float, int, Limits]] = []

    def take(self, text: TextRevision) -> None:
        self._policies.append((text.at, text.version, Limits(text.text)))

    def possible(self, key: Key, *, since: float, until: int) -> set[Amount | None]:
        """Return every limit on *key* that may have been in force at a replica from a time until a version."""
        begun, found = self._troubles.before(since, LIMIT_LAG), set[Amount | None]()
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


class _Sum(NamedTuple):
    key: Key
    total: Amount
    at: float
    version: int
    by: str


class _Reported(NamedTuple):
    """What a status added under a key."""

    at: float
    slot: Slot
    amount: Amount


class LimitsCheck:
    """Judges every increase."""

    def __init__(self, findings: Findings, limits: LimitHistory) -> None:
        self._findings = findings
        self.history = limits
        self._reported: defaultdict[Key, deque[_Reported]] = defaultdict(partial(deque, maxlen=200))

    def on_step(self, world: World, step: Step, *, since: float) -> None:
        """Judge the increase by new claims, which may have been decided *since* a time."""
        decided = Decided(since, step.version)
        by_key = defaultdict[Key, list[Risen]](list)
        for each in step.risen:
            by_key[each.key].append(each)
        for key, several in by_key.items():
            reported = [each for each in several if each.is_reported]
            self._reported[key] += [_Reported(step.at, each.slot, each.amount) for each in reported]
            admitted = [each for each in several if not each.is_reported]
            if not admitted:
                self._findings.counts["sums raised by a status"] += 1
                continue
            last = max(each.place for each in admitted)
            later = sum(each.amount for each in reported if each.place > last)
            if since < step.at:
                later = self._reported_since(world, key, since, but={each.slot for each in admitted})
            total = world.binding[key] - later
            by = f"claims on {', '.join(str(each.slot) for each in admitted)}"
            self._judge(world, _Sum(key, total, step.at, step.version, by), decided)

    def on_grown(self, world: World, row: Row, decided: Decided, *, at: float) -> None:
        """Judge an object whose cost grew."""
        if row.is_reported:
            return
        for subject, name in product(subjects(row.payer), row.raised):
            key = Key(subject, name)
            total = world.used[key] - self._reported_since(world, key, decided.since, but={row.slot})
            self._judge(world, _Sum(key, total, at, row.version, showing.row(row)), decided)

    def _reported_since(self, world: World, key: Key, since: float, *, but: Container[Slot]) -> Amount:
        """Return what statuses have added since, and no more than their objects cost now."""
        added = defaultdict[Slot, Amount](int)
        for each in reversed(self._reported[key]):
            if each.at < since:
                break
            if each.slot not in but:
                added[each.slot] += each.amount
        return sum(min(amount, world.amounts(slot).get(key.resource, 0)) for slot, amount in added.items())

    def _judge(self, world: World, risen: _Sum, decided: Decided) -> None:
        self._findings.counts["sums compared with limits"] += 1
        possible = self.history.possible(risen.key, since=decided.since, until=decided.until)
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
