"""
A figure, not a check: whether the pods of sessions that were allowed to start get the room that is held for them.

A pod that the platform's controller asks for within half a minute should not be refused for a quota, unless a limit was
lowered since, or a replica did not see the start: it began later, or its watches had been broken. One that began before
may have given away what others hold for earlier sessions, so that all holds together are above the limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nemesis.accounting import Excess, excesses, quantity
from nemesis.findings import Findings
from nemesis.holds import HELD, Holds, Start
from nemesis.limits_check import LimitHistory
from nemesis.records import SESSIONS, Life, Request, Slot
from nemesis.timeline import Spans

_SOON = 30.0
_AHEAD = 2.0
"""Seconds by which a replica may answer before it is recorded as ready."""

MADE = "pods of sessions made in time"
LOWERED = "of them refused: a limit was lowered since the start"
BEGUN_ANEW = "of them refused: a replica began since the start"
BEGUN_BEFORE = "of them refused: a replica began in the minute before the start"
BROKEN = "of them refused: a watch was broken since the start"
REFUSED = "of them refused: none of these"


class _Made(NamedTuple):
    request: Request
    start: Start


class StartedPods:
    """Judges the controller's requests once the history is past them."""

    def __init__(
        self,
        findings: Findings,
        requests: Iterable[Request],
        *,
        limits: LimitHistory,
        holds: Holds,
        lives: Sequence[Life],
        troubles: Spans,
    ) -> None:
        self._findings = findings
        self._limits = limits
        self._holds = holds
        self._lives = lives
        self._troubles = troubles
        decided = (each for each in requests if each.status == 201 or excesses(each.message))
        self._coming = deque(sorted(decided, key=lambda each: each.begun))
        self._waiting: deque[_Made] = deque()

    def reached(self, at: float, version: int) -> None:
        """Look for the starts of the requests made by then, and judge those that are answered."""
        while self._coming and self._coming[0].begun <= at:
            request = self._coming.popleft()
            start = self._start(request)
            if start is not None and start.decided is not None and request.begun - start.at <= _SOON:
                self._waiting.append(_Made(request, start))
        while self._waiting and self._waiting[0].request.ended < at:
            self._judge(self._waiting.popleft(), version)

    def _start(self, request: Request) -> Start | None:
        return self._holds.start(Slot(request.namespace, request.session, SESSIONS))

    def _judge(self, made: _Made, version: int) -> None:
        now = self._start(made.request)
        if now is None or now.session.uid != made.start.session.uid or _is_smaller(now, made.request):
            return  # the room has been given back meanwhile
        self._findings.counts[MADE] += 1
        named = excesses(made.request.message)
        if named:
            self._findings.counts[self._why(made, named, version)] += 1

    def _why(self, made: _Made, named: Iterable[Excess], version: int) -> str:
        request, start = made
        if any(self._was_lowered(each, start, version) for each in named):
            return LOWERED
        if any(start.at < life.begun <= request.ended + _AHEAD for life in self._lives):
            return BEGUN_ANEW
        if self._troubles.within(start.at, request.ended) > 0:
            return BROKEN
        has_begun = any(start.at - HELD < life.begun <= start.at for life in self._lives)
        return BEGUN_BEFORE if has_begun else REFUSED

    def _was_lowered(self, excess: Excess, start: Start, version: int) -> bool:
        since = start.at if start.decided is None else start.decided
        possible = self._limits.possible(excess.key, since=since, until=version)
        return any(hard is None or hard > excess.limited for hard in possible)


def _is_smaller(start: Start, request: Request) -> bool:
    return quantity(start.session.cpu) < quantity(request.cpu)
