"""
What may be held for the pods of sessions, at most, while they have not come.

Nothing of it is used, and no replica has to hold it: one that restarts holds nothing of sessions that are stored
already. So it is only ever a reason for a refusal. A replica holds the room for a minute from when it sees the start,
or the growth, and while the write is in the ledger; what pods of the session cost is subtracted.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nemesis.accounting import Key, counted, needs, payer_of, subjects
from nemesis.counted import Counted
from nemesis.ledger_text import Amount, Payer
from nemesis.records import DELETED, SESSIONS, PodRevision, Revision, SessionRevision, Slot
from nemesis.timeline import LATEST, Spans
from nemesis.world import Step, World

HELD = 60.0
"""Seconds for which a replica holds the room of pods that do not come."""

_RELEASED_BY = 2.0
"""Seconds: every replica looks once a second which holds are over."""


class Start(NamedTuple):
    """
    A session that started or grew, as it is now: when that was stored, and when it was decided.

    `decided` is None if no reservation of it held the room of its pods.
    """

    session: SessionRevision
    at: float
    decided: float | None


@dataclass(frozen=True, slots=True)
class _Running:
    start: Start
    until: float


class Holds:
    """Follows the sessions, their pods and the ledger."""

    def __init__(self, troubles: Spans) -> None:
        self._troubles = troubles
        self._over_time = Counted()
        self._held_as: dict[Slot, dict[Key, Amount]] = {}
        self._running: dict[Slot, _Running] = {}
        self._pods: defaultdict[Slot, dict[Slot, None]] = defaultdict(dict)
        """The names that pods of a session have had."""
        self._ends: list[tuple[float, Slot]] = []
        self._decided: dict[str, tuple[Slot, float]] = {}
        """By token: when a write entered the ledger that expects pods."""

    def most(self, key: Key, begun: float, ended: float) -> Amount:
        """Return the most that may have been held under a key at any time between two."""
        return self._over_time.most(key, begun, ended)

    def start(self, session: Slot) -> Start | None:
        """Return the last start or growth of a session that runs."""
        running = self._running.get(session)
        return None if running is None else running.start

    def reached(self, world: World, at: float) -> None:
        """Let go what nobody can hold any more at a time."""
        while self._ends and self._ends[0][0] <= at:
            until, session = heapq.heappop(self._ends)
            self._recount(world, session, until)

    def on_object(self, world: World, obj: Revision) -> None:
        """Follow a session or a pod, once *world* has."""
        if isinstance(obj, PodRevision):
            if obj.session:
                self._recount_for_pod(world, obj.slot, obj.session, obj.at)
        elif isinstance(obj, SessionRevision):
            self._follow(obj)
            self._recount(world, obj.slot, obj.at)

    def on_step(self, world: World, step: Step) -> None:
        """Follow the ledger, once *world* has."""
        for claim in step.new:
            if claim.expected is not None:
                self._decided[claim.token] = claim.slot, step.at
        for claim in (*step.gone, *step.new):
            if claim.slot.kind == SESSIONS:
                self._recount(world, claim.slot, step.at)
            for session in claim.sessions:
                self._recount_for_pod(world, claim.slot, session, step.at)
        for token in {claim.token for claim in step.gone} - {claim.token for claim in step.new}:
            self._decided.pop(token, None)

    def _follow(self, session: SessionRevision) -> None:
        known = self._running.pop(session.slot, None)
        if session.event == DELETED or not session.is_running:
            return
        before = {} if known is None or known.start.session.uid != session.uid else needs(known.start.session)
        if known is not None and all(amount <= before.get(name, 0) for name, amount in needs(session).items()):
            self._running[session.slot] = _Running(known.start._replace(session=session), known.until)
            return
        until = self._troubles.after(session.at, LATEST) + HELD + _RELEASED_BY
        decided = [at for slot, at in self._decided.values() if slot == session.slot]
        self._running[session.slot] = _Running(Start(session, session.at, min(decided, default=None)), until)
        heapq.heappush(self._ends, (until, session.slot))

    def _recount_for_pod(self, world: World, pod: Slot, session: str, at: float) -> None:
        slot = Slot(pod.namespace, session, SESSIONS)
        self._pods[slot][pod] = None
        self._recount(world, slot, at)

    def _recount(self, world: World, session: Slot, at: float) -> None:
        now: dict[Key, Amount] = {}
        for payer, amounts in self._expected(world, session, at):
            made = self._made(world, session, payer)
            for name, amount in amounts.items():
                for subject in subjects(payer):
                    left = max(amount - made.get(name, 0), now.get(Key(subject, name), 0))
                    if left > 0:
                        now[Key(subject, name)] = left
        before = self._held_as.pop(session, {})
        for key in before.keys() | now.keys():
            if before.get(key, 0) != now.get(key, 0):
                self._over_time.change(at, session, key, before.get(key, 0), now.get(key, 0))
        if now:
            self._held_as[session] = now

    def _expected(self, world: World, session: Slot, at: float) -> Iterator[tuple[Payer, dict[str, Amount]]]:
        running = self._running.get(session)
        if running is not None and at < running.until:
            session_now = running.start.session
            yield payer_of(session_now), needs(session_now)
        for claim in world.claims.get(session, {}).values():
            if claim.expected is not None:
                yield claim.payer, counted(claim.expected)

    def _made(self, world: World, session: Slot, payer: Payer) -> dict[str, Amount]:
        """Return what the pods of a session cost that exist or are in flight, each name once."""
        made = defaultdict[str, Amount](int)
        for pod in list(self._pods.get(session, ())):
            obj, row = world.objects.get(pod), world.rows.get(pod)
            is_stored = isinstance(obj, PodRevision) and obj.session == session.name and obj.owner == payer.owner
            several = [row.amounts] if row is not None and is_stored else []
            several += [
                counted(claim.amounts)
                for claim in world.claims.get(pod, {}).values()
                if session.name in claim.sessions and claim.payer.owner == payer.owner
            ]
            for name in {name for each in several for name in each}:
                made[name] += max(each.get(name, 0) for each in several)
            if obj is None and not several:
                del self._pods[session][pod]
        return made
