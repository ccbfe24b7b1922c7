"""
How many copies of something fit under the limits that bind them: the early verdict on a workload. Pure.

`decision` decides on each object once it is made, and stays the only judge of what is charged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from webhook.quota.commitments import NOTHING_IN_FORCE, InForce
from webhook.quota.decision import Decision, Denied, Excess, ended, for_pods, with_parts
from webhook.quota.expected import HeldForPods, PodSet
from webhook.quota.limits import Limit, LimitsInForce, PoolLimit
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Mode
from webhook.quota.pool_room import OnDemand, on_demand, room_in_pool
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import CLUSTER, Subject
from webhook.quota.usage import UsageView


class Part(NamedTuple):
    """An object of which each copy has one: its derived amounts, the cap that binds it, and the limits in force."""

    amounts: Amounts
    cap: str | None
    in_force: LimitsInForce

    def only(self, names: Collection[str]) -> Part:
        """Return it with the amounts of the resources *names* alone."""
        return self._replace(amounts=tuple(each for each in self.amounts if each[0] in names))

    def under(self, counts: Callable[[Limit], bool]) -> Part:
        """Return it under the limits alone that *counts* is true for."""
        whole = self.in_force
        sums, caps = (tuple(filter(counts, each)) for each in (whole.sums, whole.caps))
        pools = tuple(each for each in whole.pools if counts(each.limit))
        shapes = tuple(each for each in whole.shapes if counts(each.limit))
        return self._replace(in_force=LimitsInForce(sums, caps, pools, whole.promised, shapes))


@dataclass(frozen=True, slots=True)
class Copies:
    """
    *number* copies of *parts*, of which the objects of *existing* are there already.

    `are_replaced`: the existing ones are to be replaced by new ones, whoever pays for them now. Otherwise those that
    somebody else pays for stay, and need no room of the payer. The room that a session holds for pods of `pod_sets` is
    theirs.
    """

    number: int
    parts: Sequence[Part]
    existing: Collection[ObjectKey] = ()
    are_replaced: bool = False
    pod_sets: Collection[PodSet] = ()


@dataclass(frozen=True, slots=True)
class Fitting:
    """
    How many of `number` copies fit, those that exist included, and every limit that all of them exceed.

    `binding` is one of the excesses under which not more than `fits` fit. Of an excess `requested` is what they need
    beyond what the existing ones hold, and `fits` the most that all copies could have of the resource; for a cap both
    are amounts of one object.
    """

    number: int
    fits: int
    excesses: tuple[Excess, ...] = ()
    binding: Excess | None = None


class _Unused:
    """A `UsageView` of nothing."""

    def used(self, subject: Subject, name: str) -> Amount:  # noqa: ARG002
        """Return 0."""
        return 0

    reserved = used
    allocated = used
    set_aside = used
    of_holders = used
    promised = used

    def held_for_all_pods(self, subject: Subject, name: str) -> HeldForPods:  # noqa: ARG002
        """Return nothing."""
        return HeldForPods()

    def promise(self, in_force: InForce) -> None:
        """Do nothing."""

    def held(self, key: ObjectKey, subject: Subject, name: str) -> Amount:  # noqa: ARG002
        """Return 0."""
        return 0

    def held_for_pods(self, pod_sets: Iterable[PodSet], subject: Subject, name: str) -> Amount:  # noqa: ARG002
        """Return 0."""
        return 0

    def subjects(self) -> Iterator[Subject]:
        """Return none."""
        return iter(())


UNUSED: UsageView = _Unused()
"""For what is made at another time, when other things are used: it shows what can never fit."""


class Room(NamedTuple):
    """
    What one limit leaves for copies of something.

    One copy needs `each`, and `number` of them are to be paid by whom the limit bounds; `others` exist and are paid by
    somebody else. `own` is what the existing ones hold. For a cap the amounts are those of one object. Of a pool of
    nodes `promised` is how much is not for them, because it was promised to others; below 0 if some of it was to them.
    """

    limit: Limit
    each: Amount
    number: int
    others: int
    own: Amount
    used: Amount
    reserved: Amount
    promised: Amount = 0
    on_demand: OnDemand | None = None

    @property
    def requested(self) -> Amount:
        """What the copies need beyond what the existing ones hold; below 0 if they hold more."""
        return self.number * self.each - self.own

    @property
    def most(self) -> Amount:
        """The most that all copies could have, those that exist included."""
        return max(self.limit.hard - self.used - self.reserved - self.promised + self.own, 0)

    @property
    def free(self) -> Amount:
        """The amount left under the limit, 0 if the limit is already exceeded."""
        return max(self.limit.hard - self.used - self.reserved - self.promised, 0)

    @property
    def is_exceeded(self) -> bool:
        """Whether the copies need more than there is, and more than the existing ones hold."""
        return self.requested > 0 and self.number * self.each > self.most

    @property
    def copies(self) -> int | None:
        """How many copies the limit has room for; None for a cap under which each of them fits."""
        if self.limit.cap is not None:
            return 0 if self.is_exceeded else None
        return self.others + int(self.most // self.each)


def rooms(copies: Copies, view: UsageView) -> Iterator[Room]:
    """Yield what each limit on *copies* leaves for them beside what *view* shows: caps first."""
    yield from _caps(copies.parts)
    yield from (_room(copies, limit, need, view) for limit, need in _needs(copies.parts))
    yield from _pool_rooms(copies, view)


def _caps(parts: Sequence[Part]) -> Iterator[Room]:
    for part in parts:
        amounts = dict(part.amounts)
        for cap in part.in_force.caps:
            if cap.cap == part.cap and (amount := amounts.get(cap.resource, 0)):
                yield Room(cap, amount, 1, 0, 0, 0, 0)


def _room(copies: Copies, limit: Limit, need: _Need, view: UsageView) -> Room:
    own = sum(view.held(key, limit.subject, limit.resource) for key in copies.existing)
    own += view.held_for_pods(copies.pod_sets, limit.subject, limit.resource)
    number = max(copies.number - _of_others(copies, limit, view) // need.objects, 0)
    used, reserved = view.used(limit.subject, limit.resource), view.reserved(limit.subject, limit.resource)
    return Room(limit, need.amount, number, copies.number - number, own, used, reserved)


def fit(copies: Copies, view: UsageView) -> Fitting:
    """
    Return how many *copies* fit beside what *view* shows.

    Only what grows is compared: where the existing objects hold as much as all copies need, the limit is not exceeded
    by them, even if it was lowered.
    """
    found = [(each.copies or 0, _excess(each, view)) for each in _caps(copies.parts) if each.is_exceeded]
    for limit, need in _needs(copies.parts):
        if view.allocated(limit.subject, limit.resource) + copies.number * need.amount <= limit.hard:
            continue  # beside all that is taken, whoever has it
        room = _room(copies, limit, need, view)
        if room.is_exceeded:
            found.append((room.copies or 0, _excess(room, view)))
    in_pools = [(each.copies or 0, _excess(each, view)) for each in _pool_rooms(copies, view) if each.is_exceeded]
    if not (found or in_pools):
        return Fitting(copies.number, copies.number)
    fits, binding = min((*found, *in_pools), key=lambda each: each[0])
    excesses = with_parts([excess for _, excess in found], (excess for _, excess in in_pools))
    return Fitting(copies.number, fits, tuple(excesses), binding)


def _pool_rooms(copies: Copies, view: UsageView) -> Iterator[Room]:
    """Yield what each pool of nodes leaves for *copies*: what was promised to them, and what is free on demand."""
    needs: dict[PoolLimit, Amount] = {}
    in_force = NOTHING_IN_FORCE
    for part in copies.parts:
        if part.in_force.pools:
            in_force = part.in_force.promised
        amounts = dict(part.amounts)
        for each in part.in_force.pools:
            if amount := amounts.get(each.limit.resource, 0):
                needs[each] = needs.get(each, 0) + amount
    if needs:
        view.promise(in_force)
    for each, amount in needs.items():
        pool, name = each.limit.subject, each.limit.resource
        whose = each.counted_for if each.is_on_demand else pool
        own = sum(view.held(key, whose, name) for key in copies.existing)
        own += view.held_for_pods(copies.pod_sets, whose, name)
        used, reserved = view.used(pool, name), view.reserved(pool, name)
        room = room_in_pool(each, copies.existing, view, copies.pod_sets)
        promised = each.limit.hard - used - reserved + own - room
        yield Room(each.limit, amount, copies.number, 0, own, used, reserved, promised, on_demand(each, in_force, view))


def _excess(room: Room, view: UsageView) -> Excess:
    limit = room.limit
    if room.on_demand is not None:
        own, most = room.own, room.most
        return Excess(limit, room.requested, room.used, room.reserved, most, own, on_demand=room.on_demand)
    if limit.cap is not None:
        return Excess(limit, room.each, 0, 0, limit.hard)
    excess = Excess(limit, room.requested, room.used, room.reserved, room.most, room.own, ended(limit, view))
    return for_pods(excess, view)


def with_fitting(decision: Decision, fitting: Fitting, *, may_deny: bool) -> Decision:
    """Return *decision* on an object whose pods have to fit as well: denied for all that is exceeded."""
    if not fitting.excesses:
        return decision
    enforced = tuple(each for each in fitting.excesses if each.rule.mode is Mode.ENFORCE)
    if isinstance(decision, Denied):
        return replace(decision, excesses=(*decision.excesses, *enforced))
    if may_deny and enforced:
        return Denied(enforced)
    return replace(decision, tolerated=(*decision.tolerated, *fitting.excesses))


class _Need(NamedTuple):
    """What one copy needs under a limit, and of how many objects: two claims of one copy count together."""

    amount: Amount
    objects: int


def _needs(parts: Sequence[Part]) -> Iterable[tuple[Limit, _Need]]:
    """Return each limit with what one copy needs under it."""
    if len(parts) == 1:  # mostly; hashing a limit takes longer than comparing it
        amounts = dict(parts[0].amounts)
        sums = parts[0].in_force.sums
        return [(limit, _Need(amount, 1)) for limit in sums if (amount := amounts.get(limit.resource, 0))]
    needs: dict[Limit, _Need] = {}
    for part in parts:
        amounts = dict(part.amounts)
        for limit in part.in_force.sums:
            if amount := amounts.get(limit.resource, 0):
                known = needs.get(limit, _Need(0, 0))
                needs[limit] = _Need(known.amount + amount, known.objects + 1)
    return needs.items()


def _of_others(copies: Copies, limit: Limit, view: UsageView) -> int:
    """Return how many existing objects that cost the resource are charged to others, and stay."""
    if copies.are_replaced:
        return 0
    alive = (key for key in copies.existing if view.held(key, CLUSTER, limit.resource))
    return sum(1 for key in alive if not view.held(key, limit.subject, limit.resource))
