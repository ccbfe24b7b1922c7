"""
I1 and I6 in pools of nodes, a part of which was promised: nobody gets what was promised to others, or is refused more.

A claim that makes more of a pool taken than before may not make it more than nodes have, under a policy, nodes and a
time that a replica may have had when it decided; see `limits_check`. The sums themselves may be above what nodes have:
nodes go, promises begin and end by the clock, and an edit can be forced. How often is counted, by what explains it.

Where the ledger orders the edits of what is promised, a claim was decided by a policy not older than the ledger's, at a
time not earlier than the ledger's, nor than that of any claim before it. Then nothing that is let in brings a sum above
what nodes have, but by nodes that a replica did not know yet, or an edit that the ledger does not order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from nemesis import showing
from nemesis.accounting import Excess, Key, quantity
from nemesis.findings import Findings, Invariant
from nemesis.ledger_text import Amount, Payer, Place
from nemesis.limits_check import Decided
from nemesis.pools import Order, Pools, Terms, use_of
from nemesis.promises import Use, around, key_of, of_nodes
from nemesis.records import PODS, PodRevision, Request, Slot
from nemesis.timeline import LATEST
from nemesis.world import Row, Standing, Step, World

COMPARED = "sums compared with nodes"
STORED_COMPARED = "stored pods compared with nodes"
COVERED, ON_DEMAND = "pods let in under a promise", "pods let in on demand beside promises"
CONTENDED = "refusals right only if names count for each holder who asks for them"
LATE = "of them let in by terms that were not the newest any more"
ABOVE = "sums above nodes: "
"""Followed by what made one so, or larger."""
LET_IN = "what was let in before"
BY_NODES, BY_CLOCK, BY_EDIT, BY_LOSS = (
    "what was let in by nodes as they had been before",
    "what was let in just before a promise began or ended",
    "what was let in under an edit that the ledger does not order",
    "what was let in before the ledger was lost",
)
"""What explains it where the ledger orders the edits."""

_CLOCK = 0.5
"""Seconds by which the recording may be late."""


class PoolsCheck:
    """Judges what is let into pools, and follows their sums."""

    def __init__(self, findings: Findings, pools: Pools) -> None:
        self._findings = findings
        self._pools = pools
        self._above: dict[Key, Amount] = {}
        self._looked = 0.0
        self._decided = 0.0
        """The earliest time, in seconds since 1970, by which the last claim may have been decided."""

    def reached(self, at: float) -> None:
        """Follow the clock: promises begin and end."""
        promises = self._pools.promises
        if promises is not None and len(promises.between(*map(self._pools.time, (self._looked, at)))) > 2:
            self.look(at, "the clock")
        self._looked = at

    def look(self, at: float, cause: str, *, version: int = 0) -> None:
        """
        Compare all sums with what nodes have, after something has changed at a time, and at a *version*.

        An empty *cause* explains nothing: then no sum may have risen above what nodes have.
        """
        promises = self._pools.promises
        if promises is None:
            return
        above: dict[Key, Amount] = {}
        names, now = list(self._pools.binding.values()), self._pools.time(at)
        for pool, name in promises.sums():
            self._findings.counts[COMPARED] += 1
            key = key_of(pool, name)
            over = promises.taken(now, names, pool, name) - self._pools.has.get(key, 0)
            if over > 0:
                above[key] = over
                if cause:
                    self._findings.counts[ABOVE + cause] += over > self._above.get(key, 0)
                elif over > self._above.get(key, 0):
                    terms = Terms(promises, self._pools.has, now)
                    told = "let in by nothing that was in force"
                    self._violated(key, told, at=at, version=version, terms=terms, names=names)
        self._above = above

    def on_step(self, world: World, step: Step) -> None:
        """Judge the claims that enter the ledger, one after the other as they were decided."""
        if step.after is not None:
            self._pools.take_ledger(step.at, step.after)
        cause = "" if self._pools.is_ordered else LET_IN
        new = [each for each in step.new if each.slot.kind == PODS]
        slots = {each.slot for each in new}
        changed = False
        for slot in {each.slot for each in step.gone if each.slot.kind == PODS} - slots:
            changed |= self._pools.follow(world, slot, step.at)
        tokens = {each.token for each in new}
        for number, claim in enumerate(new):
            decided = {each.token for each in new[: number + 1]}
            there = [
                each
                for each in world.claims.get(claim.slot, {}).values()
                if (each.token not in tokens or each.token in decided) and world.may_come_true(each)
            ]
            after = self._pools.uses(world, claim.slot, there)
            before = self._pools.binding.get(claim.slot, ())
            if world.may_come_true(claim):
                explained = self._judge(use_of(claim), (claim.slot, before, after), step, by=showing.claim(claim))
                cause = cause or explained
            self._pools.set_binding(claim.slot, after)
        for slot in slots:
            changed |= self._pools.follow(world, slot, step.at)
        if changed or slots:
            self.look(step.at, cause, version=step.version)

    def on_pod(self, world: World, slot: Slot, pod: PodRevision) -> None:
        """Follow a pod."""
        if self._pools.follow(world, slot, pod.at):
            cause = "" if world.standing is Standing.OPEN else BY_LOSS
            self.look(pod.at, cause if self._pools.is_ordered else LET_IN, version=pod.version)

    def on_grown(self, world: World, row: Row, decided: Decided, *, at: float) -> None:
        """
        Judge a pod that is stored, beside those that exist, if nothing but pods has changed since it was decided.

        Otherwise others may have been let in for other reasons: then its claim is judged, and not this.
        """
        uses = self._pools.uses(world, row.slot, ())
        is_of_pool = any(each.place.node_class for each in uses)
        possible = list(self._pools.possible(decided.since, at, until=row.version)) if is_of_pool else []
        if len(possible) != 1:
            return
        self._findings.counts[STORED_COMPARED] += 1
        others = [self._pools.uses(world, slot, ()) for slot in self._pools.binding if slot != row.slot]
        over = _exceeded(possible[0], uses[0], others, [*others, uses])
        if over is not None:
            self._violated(over, showing.row(row), at=at, version=row.version, terms=possible[0], names=[*others, uses])

    def _judge(self, use: Use, change: tuple[Slot, Sequence[Use], Sequence[Use]], step: Step, *, by: str) -> str:
        """Judge a claim; return why it fitted if it no longer does, or that this was told; empty if it fits."""
        slot, before, after = change
        if not use.place.node_class or after == before:
            return ""
        others = [several for name, several in self._pools.binding.items() if name != slot]

        def over(terms: Terms) -> Key | None:
            return _exceeded(terms, use, [*others, before], [*others, after])

        order = self._pools.order
        order = order._replace(since=max(order.since, self._decided))
        possible = list(self._pools.possible(step.at, step.at + _CLOCK, until=step.version, order=order))
        fit = next((terms for terms in possible if over(terms) is None), None)
        if fit is not None:
            self._findings.counts[LATE] += fit is not possible[0]
            self._findings.counts[COVERED if fit.promises.hold_of(use).holder else ON_DEMAND] += 1
            if not self._pools.is_ordered:
                return ""
            self._decided = _earliest(possible, order, over)
            newest = self._pools.newest(step.at)
            return _reason(fit, newest) if newest is not None and over(newest) is not None else ""
        for terms in possible[:1]:
            key, names = over(terms), [*others, after]
            assert key is not None
            self._violated(key, by, at=step.at, version=step.version, terms=terms, names=names)
        return LET_IN

    def _violated(
        self, key: Key, by: str, *, at: float, version: int, terms: Terms, names: Iterable[Sequence[Use]]
    ) -> None:
        names = list(names)
        taken = next(
            terms.promises.taken(terms.now, names, pool, name)
            for pool, name in terms.promises.sums()
            if key_of(pool, name) == key
        )
        told = f"{key}: {showing.amount(taken)} taken by use and promises, nodes have "
        told += f"{showing.amount(terms.has.get(key, 0))}: {by}"
        context = _account(key, terms, names)
        self._findings.violated(Invariant.NO_OVER_ADMISSION, told, at=at, version=version, context=context)

    # Refusals.

    def judge_refusal(self, request: Request, excess: Excess, delays: Sequence[float], slack: float) -> str | None:
        """Return what is wrong with a refusal, None if nothing; count how late the watch was otherwise."""
        ended = request.ended + slack
        node_class, _, zone = request.place.partition("/")
        asked = of_nodes({name: quantity(amount) for name, amount in request.asked.items()})
        payer = self._pools.payers.get(request.user, Payer(request.user, ()))
        use = Use(payer, request.namespace, Place(node_class, zone), asked)
        if request.verb == "create" and excess.requested > asked.get(excess.key.resource, 0):
            return f"{showing.amount(excess.requested)} was never asked for"
        begun = self._pools.troubles.before(request.begun, LATEST)
        order = self._pools.order_since(request.begun)
        possible = list(self._pools.possible(begun, ended, until=2**63, order=order))
        if excess.limited not in {each.has.get(excess.key, 0) for each in possible}:
            return f"nodes never had {showing.amount(excess.limited)} of {excess.key}"
        possible = [each for each in possible if each.has.get(excess.key, 0) == excess.limited]
        for delay in delays:
            begun = self._pools.troubles.before(request.begun, delay) if delay else request.begun
            names = self._pools.during(begun, ended)
            own = names.pop(request.slot, ())
            others = list(names.values())
            uses = _wherever(request, use, own)
            if any(
                _exceeded(terms, each, others, [*others, (*own, each)], key=excess.key)
                for terms in possible
                for each in uses
            ):
                self._findings.delays[delay] += 1
                return None
        names = self._pools.during(begun, ended)
        uses = _wherever(request, use, names.get(request.slot, ()))
        if any(
            _exceeded(terms, each, *_apart(terms, names, request.slot, each), key=excess.key)
            for terms in possible
            for each in uses
        ):
            self._findings.counts[CONTENDED] += 1
            return None
        return f"there was room in {excess.key} since {begun:.1f} s"


def _wherever(request: Request, use: Use, own: Iterable[Use]) -> list[Use]:
    """
    Return *use* where the object of *request* may be. Who changes a pod may have meant the one that had the name
    before, which was elsewhere.
    """
    places = {use.place} if request.verb == "create" else {use.place, *(each.place for each in own)}
    return [use._replace(place=place) for place in places]


def _exceeded(
    terms: Terms, use: Use, before: Iterable[Sequence[Use]], after: Iterable[Sequence[Use]], *, key: Key | None = None
) -> Key | None:
    """Return the pool that has less than is taken after, and where that is more than before; None if there is none."""
    promises, has, now = terms
    names = promises.resources.get(use.place.node_class, set()) & use.amounts.keys()
    if not names:
        return None
    for pool in around(promises.pool_of(use.place)):
        for name in sorted(names):
            of_name = key_of(pool, name)
            if key not in {None, of_name}:
                continue
            taken = promises.taken(now, after, pool, name)
            if taken > has.get(of_name, 0) and taken > promises.taken(now, before, pool, name):
                return of_name
    return None


def _earliest(possible: Sequence[Terms], order: Order, over: Callable[[Terms], Key | None]) -> float:
    """Return the earliest time at which something fits, in seconds since 1970."""
    times = [(max(order.since, terms.promises.moment(terms.now)), number) for number, terms in enumerate(possible)]
    return next(time for time, number in sorted(times) if over(possible[number]) is None)


def _reason(fit: Terms, newest: Terms) -> str:
    """Return by what a claim fitted that would not by what is in force now."""
    if fit.promises is not newest.promises:
        return BY_EDIT
    return BY_NODES if fit.promises.at(fit.now) is newest.promises.at(newest.now) else BY_CLOCK


def _apart(
    terms: Terms, names: Mapping[Slot, Sequence[Use]], slot: Slot, use: Use
) -> tuple[list[Sequence[Use]], list[Sequence[Use]]]:
    """Return what is used without a name and with it, where names count once for each holder who asks for them."""
    others: list[Sequence[Use]] = [
        uses for name, several in names.items() if name != slot for uses in terms.promises.apart(several)
    ]
    return others, [*others, *terms.promises.apart((*names.get(slot, ()), use))]


def _account(key: Key, terms: Terms, names: Iterable[Sequence[Use]]) -> str:
    """Return what counts in a pool, name by name, and what is promised of it."""
    promised = terms.promises.at(terms.now)
    lines = [f"at {terms.now:.3f}:"]
    for several in names:
        told = [
            f"{use.payer.owner} in {use.namespace}: {showing.amount(use.amounts[key.resource])} "
            f"for {terms.promises.hold_of(use).holder or 'nobody'}"
            for use in several
            if key.resource in use.amounts and _is_within(terms.promises.pool_of(use.place), key)
        ]
        lines += [f"  used by {' or '.join(told)}"] if told else []
    lines += [
        f"  promised to {hold.holder}: {showing.amount(amounts[key.resource])}"
        for hold, amounts in promised.covers.items()
        if key.resource in amounts and _is_within(hold.pool, key)
    ]
    lines += [
        f"  set aside for later: {showing.amount(amounts[key.resource])}"
        for pool, amounts in promised.ahead.items()
        if key.resource in amounts and _is_within(pool, key)
    ]
    return "\n".join(lines)


def _is_within(pool: Place, key: Key) -> bool:
    return any(key_of(each, key.resource) == key for each in around(pool))
