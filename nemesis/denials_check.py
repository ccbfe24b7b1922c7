"""
I6: a refusal is right about every limit it names.

A replica may see a deletion a moment late, and may see old objects beside new claims. So a limit counts as full if the
largest amounts that the names had at any time, from some seconds before the request began until it was answered, do not
leave the room requested. The number of seconds that it took is reported: it is how late room comes back.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from functools import partial

from nemesis import showing
from nemesis.accounting import UNIT, Excess, Key, excesses, quantity
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Amount
from nemesis.limits_check import LimitHistory
from nemesis.records import Request, Slot
from nemesis.timeline import Spans

DELAYS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds by which the watch of a replica may be late; the last one is the most that is tolerated."""

GROWTHS = ("resize", "grow")

_OURS = "validate.userquota.dev"
"""The API server refuses, too: for a while after a restart it does not know the rights of any user."""

_SLACK = 0.5
"""Seconds by which the recording may be late."""

_REMEMBERED = 240.0
"""Seconds. No look back is longer: the longest fault and the longest request together."""


class Counted:
    """The amount of each name under each key over the last minutes, and when the cost of its object changed."""

    def __init__(self) -> None:
        self._changed: defaultdict[Slot, deque[float]] = defaultdict(partial(deque, maxlen=100))
        self._now: defaultdict[Key, dict[Slot, tuple[float, Amount]]] = defaultdict(dict)
        self._past: defaultdict[Key, deque[tuple[float, float, Slot, Amount]]] = defaultdict(deque)

    def change(self, at: float, slot: Slot, key: Key, before: Amount, now: Amount) -> None:
        """Record a change: see `world.OnChange`."""
        known = self._now[key].pop(slot, None)
        if known is not None:
            past = self._past[key]
            past.append((known[0], at, slot, before))
            while past[0][1] < at - _REMEMBERED:
                past.popleft()
        if now:
            self._now[key][slot] = (at, now)

    def changed(self, at: float, slot: Slot) -> None:
        """Record that the cost of the object of that name changed, or that it was deleted."""
        self._changed[slot].append(at)

    def has_changed(self, slot: Slot, begun: float, ended: float) -> bool:
        """Whether that happened between two times."""
        return any(begun <= at <= ended for at in self._changed[slot])

    def most(self, key: Key, begun: float, ended: float) -> Amount:
        """Return the sum of the largest amount of each name at any time between two."""
        most = {slot: amount for slot, (since, amount) in self._now[key].items() if since <= ended}
        for since, until, slot, amount in reversed(self._past[key]):
            if until < begun:
                break
            if since <= ended:
                most[slot] = max(most.get(slot, 0), amount)
        return sum(most.values())


class DenialsCheck:
    """Judges refusals once the history is past them."""

    def __init__(
        self,
        findings: Findings,
        requests: Iterable[Request],
        *,
        counted: Counted,
        limits: LimitHistory,
        troubles: Spans,
    ) -> None:
        self._findings = findings
        self._counted = counted
        self._limits = limits
        self._troubles = troubles
        refused = (each for each in requests if each.status == 403 and _OURS in each.message)
        self._waiting = deque(sorted(refused, key=lambda each: each.ended))

    def reached(self, at: float, version: int) -> None:
        """Judge the answers given well before *at*."""
        while self._waiting and self._waiting[0].ended + _SLACK < at:
            self._judge(self._waiting.popleft(), version)

    def _judge(self, request: Request, version: int) -> None:
        named = excesses(request.message)
        if not named:
            self._violated(request, "it names no limit")
            return
        for excess in named:
            self._judge_excess(request, excess, version)

    def _judge_excess(self, request: Request, excess: Excess, version: int) -> None:
        self._findings.counts["limits named in refusals"] += 1
        excess = self._with_all_of_what_has_changed(request, excess)
        if request.verb == "create" and excess.requested != _asked(request, excess):
            self._violated(request, f"{showing.amount(excess.requested)} was never asked for")
        possible = self._limits.possible(excess.key, since=request.begun, until=version)
        if excess.limited not in possible:
            shown = ", ".join(sorted("none" if each is None else showing.amount(each) for each in possible))
            self._violated(request, f"the limit on {excess.key} was {shown}")
        total = excess.used + excess.reserved + excess.requested
        if total <= excess.limited:
            self._violated(request, f"{excess.key} would have been {showing.amount(total)}")
        delay = self._delay(request, excess)
        if delay is None:
            begun = self._troubles.before(request.begun, DELAYS[-1])
            most = self._counted.most(excess.key, begun, request.ended + _SLACK)
            self._violated(request, f"{excess.key} never came to more than {showing.amount(most)} since {begun:.1f} s")
        else:
            self._findings.delays[delay] += 1

    def _with_all_of_what_has_changed(self, request: Request, excess: Excess) -> Excess:
        """A growth of what has changed meanwhile had an old base: it needs the whole amount, not the difference."""
        begun = self._troubles.before(request.begun, DELAYS[-1])
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


def _asked(request: Request, excess: Excess) -> Amount:
    if request.asked:
        return quantity(request.asked.get(excess.key.resource, "0"))
    return UNIT if excess.key.resource == "pods" else quantity(request.cpu)
