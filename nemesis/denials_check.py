"""
I6: a refusal is right about every limit it names.

A replica may see a deletion a moment late, and may see old objects beside new claims. So a limit counts as full if the
largest amounts that the names had at any time, from some seconds before the request began until it was answered, do not
leave the room requested. The number of seconds that it took is reported: it is how late room comes back.

What may be held for pods of sessions is a reason too, which is needed where all the rest leaves room. It is no use: a
hold that lasts too long, or is too large, explains nothing.

A replica also counts what it has allowed under its grant. Most of that is stored a little later. What never is cannot
be known: it was no more than what one replica was granted. That is the last reason that is looked for, and is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from nemesis import showing
from nemesis.accounting import UNIT, Excess, excesses, quantity
from nemesis.counted import Counted
from nemesis.findings import Findings, Invariant
from nemesis.grants_check import GrantsCheck
from nemesis.holds import Holds
from nemesis.ledger_text import Amount
from nemesis.limits_check import LimitHistory
from nemesis.pools_check import PoolsCheck
from nemesis.promises import is_of_pool
from nemesis.records import SESSIONS, Request, Slot
from nemesis.timeline import LATEST, Spans

DELAYS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, LATEST)
"""Seconds by which the watch of a replica may be late."""

HELD = "limits full only with what is held for pods of sessions"
"""The count of what refusals name and nothing else explains."""

ALLOWED = "limits full only with what was stored under grants a little later"
GRANTED = "limits full only with what one replica was granted"
"""The counts of what nothing else explains but what a replica may have allowed in its memory."""

GROWTHS = ("resize", "grow")

_OURS = "validate.userquota.dev"
"""The API server refuses, too: for a while after a restart it does not know the rights of any user."""

_HAS_GONE = "which this was made for, does not exist"
"""The refusal of a pod whose owner is not there."""

_SLACK = 0.5
"""Seconds by which the recording may be late."""


class _Unexplained(NamedTuple):
    """A limit that a refusal names and nothing explains that was stored or held by then."""

    request: Request
    excess: Excess
    begun: float
    ended: float


class DenialsCheck:
    """Judges refusals once the history is past them."""

    def __init__(
        self,
        findings: Findings,
        requests: Iterable[Request],
        *,
        counted: Counted,
        holds: Holds,
        grants: GrantsCheck,
        limits: LimitHistory,
        pools: PoolsCheck,
        troubles: Spans,
    ) -> None:
        self._findings = findings
        self._counted = counted
        self._holds = holds
        self._grants = grants
        self._limits = limits
        self._pools = pools
        self._troubles = troubles
        refused = (each for each in requests if each.status == 403 and _OURS in each.message)
        self._waiting = deque(sorted(refused, key=lambda each: each.ended))
        self._unexplained = deque[_Unexplained]()

    def reached(self, at: float, version: int) -> None:
        """Judge the answers given well before *at*."""
        while self._waiting and self._waiting[0].ended + _SLACK < at:
            self._judge(self._waiting.popleft(), version)
        while self._unexplained and self._unexplained[0].request.ended + LATEST + _SLACK < at:
            self._judge_once_more(self._unexplained.popleft())

    def _judge(self, request: Request, version: int) -> None:
        named = excesses(request.message)
        if not named:
            if not self._is_for_what_has_gone(request):
                self._violated(request, "it names no limit")
            return
        for excess in named:
            self._judge_excess(request, excess, version)

    def _is_for_what_has_gone(self, request: Request) -> bool:
        """Whether the pod of a session was refused because that does not exist, and it went, or stopped, lately."""
        session = Slot(request.namespace, request.session, SESSIONS)
        begun = self._troubles.before(request.begun, LATEST)
        has_gone = self._counted.has_changed(session, begun, request.ended + _SLACK)
        return bool(request.session) and _HAS_GONE in request.message and has_gone

    def _judge_excess(self, request: Request, excess: Excess, version: int) -> None:
        self._findings.counts["limits named in refusals"] += 1
        if is_of_pool(excess.key):
            told = self._pools.judge_refusal(request, excess, DELAYS, _SLACK)
            if told is not None:
                self._violated(request, told)
            return
        excess = self._with_all_of_what_has_changed(request, excess)
        if request.verb == "create" and not _may_ask(request, excess):
            self._violated(request, f"{showing.amount(excess.requested)} was never asked for")
        possible = self._limits.possible(excess.key, since=request.begun, until=version)
        if excess.limited not in possible:
            shown = ", ".join(sorted("none" if each is None else showing.amount(each) for each in possible))
            self._violated(request, f"the limit on {excess.key} was {shown}")
        total = excess.used + excess.reserved + excess.requested
        if total <= excess.limited:
            self._violated(request, f"{excess.key} would have been {showing.amount(total)}")
        delay = self._delay(request, excess)
        if delay is not None:
            self._findings.delays[delay] += 1
            return
        begun, ended = self._troubles.before(request.begun, LATEST), request.ended + _SLACK
        most, held = self._counted.most(excess.key, begun, ended), self._holds.most(excess.key, begun, ended)
        if most + held + excess.requested > excess.limited:
            self._findings.counts[HELD] += 1
            return
        self._unexplained.append(_Unexplained(request, excess, begun, ended))

    def _judge_once_more(self, each: _Unexplained) -> None:
        """Judge what only grants can explain: what was allowed under one by then is stored by now, or never will be."""
        request, excess, begun, ended = each
        names = self._counted.largest(excess.key, begun, ended)
        for slot, amount in self._grants.stored_since(excess.key, ended, ended + LATEST).items():
            names[slot] = max(names.get(slot, 0), amount)
        total = sum(names.values()) + self._holds.most(excess.key, begun, ended)
        granted = self._grants.most_of_one(excess.key, begun, ended)
        if total + excess.requested > excess.limited:
            self._findings.counts[ALLOWED] += 1
        elif total + granted + excess.requested > excess.limited:
            self._findings.counts[GRANTED] += 1
        else:
            held, and_held = self._holds.most(excess.key, begun, ended), ""
            and_held += f", with {showing.amount(held)} held for pods of sessions" if held else ""
            and_held += f", and {showing.amount(granted)} granted to one replica" if granted else ""
            told = f"{excess.key} never came to more than {showing.amount(total)} since {begun:.1f} s{and_held}"
            self._violated(request, told)

    def _with_all_of_what_has_changed(self, request: Request, excess: Excess) -> Excess:
        """A growth of what has changed meanwhile had an old base: it needs the whole amount, not the difference."""
        begun = self._troubles.before(request.begun, LATEST)
        if request.verb in GROWTHS and self._counted.has_changed(request.slot, begun, request.ended + _SLACK):
            return excess._replace(requested=max(excess.requested, _asked(request, excess)))
        return excess

    def _delay(self, request: Request, excess: Excess) -> float | None:
        """Return by how many seconds the watch was late if the refusal was right; None if more than is tolerated."""
        for delay in DELAYS:
            begun = self._troubles.before(request.begun, delay) if delay else request.begun
            if self._counted.most(excess.key, begun, request.ended + _SLACK) + excess.requested > excess.limited:
                return delay
        return None

    def _violated(self, request: Request, told: str) -> None:
        asked = request.cpu or ",".join(f"{name}={amount}" for name, amount in request.asked.items())
        what = f"{request.user} {request.verb} {request.slot} {asked} from {request.begun:.3f} s: {told}"
        self._findings.violated(Invariant.NO_FALSE_DENIAL, what, at=request.ended, context=request.message)


def _may_ask(request: Request, excess: Excess) -> bool:
    """Whether a create may need that much. A session does not need what pods of its name hold already."""
    asked = _asked(request, excess)
    if request.kind == SESSIONS:
        return excess.requested <= asked
    return excess.requested == asked


def _asked(request: Request, excess: Excess) -> Amount:
    if request.asked:
        return quantity(request.asked.get(excess.key.resource, "0"))
    return UNIT if excess.key.resource == "pods" else quantity(request.cpu)
