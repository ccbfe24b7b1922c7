"""
Decide whether a charge fits under every limit that binds it: `decide`, its outcomes, and the parts of it that advice
and `fitting` share.

It does no I/O. Before it compares what is promised, it has the usage count what has begun or ended by the time of the
limits.

`message` builds the text of a denial. The ledger reads usage, decides and reserves in one step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from msgspec import structs

from webhook.quota import scopes
from webhook.quota.demand import Demand, demand_of
from webhook.quota.limits import Limit, LimitsInForce, ShapeLimit
from webhook.quota.missing import DECLARABLE, Missing, Undeclared
from webhook.quota.policy import MINIMUMS, Mode, Policy
from webhook.quota.pool_room import OnDemand, on_demand, room_in_pool, taken
from webhook.quota.presets import PER_SESSION
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.resources import PODS, PODS_STORED, Amount, Amounts
from webhook.quota.shapes import Shape
from webhook.quota.usage import UsageView


@dataclass(frozen=True, slots=True)
class Excess:
    """
    One limit that a request exceeds. For caps, all amounts but `requested` and `fits` are 0.
    """

    rule: Limit
    requested: Amount
    """What the request adds to `had`."""
    used: Amount
    reserved: Amount
    fits: Amount
    """The most that the object could request instead, 0 if nothing; what it has already always fits."""
    had: Amount = 0
    """What the object holds already."""
    ended: Amount = 0
    """Of a limit on stored pods: how much of `used` is due to pods that do not run any more."""
    held_for_pods: Amount = 0
    """How much of `reserved` is held for pods of sessions that have not come yet."""
    kept_for_pods: Amount = 0
    """How much of `reserved` is kept for pods that autoscalers and sessions may get."""
    on_demand: OnDemand | None = None
    """Of the capacity of nodes, or of a limit of which parts are guaranteed: what is left beside these."""

    @property
    def never_fits(self) -> bool:
        """Whether the object alone is larger than the limit: no other object that goes makes room for it."""
        beside = self.on_demand
        most = self.rule.hard + (beside.committed if beside is not None and beside.is_limit else 0)
        return self.requested + self.had > most

    @property
    def free(self) -> Amount:
        """The amount left under the limit for whoever asks, 0 if the limit is already exceeded."""
        if self.on_demand is not None:  # what was promised to others is not left, and what was to them is
            return max(self.fits - self.had, 0)
        return max(self.rule.hard - self.used - self.reserved, 0)


@dataclass(frozen=True, slots=True)
class Lack:
    """One limit on a resource that `containers` have to declare and do not; of a time, that fields have to set."""

    rule: Limit
    containers: tuple[str, ...]


class Shortfall(NamedTuple):
    """One minimum that an object asks for less than."""

    rule: Limit
    requested: Amount


class OffShape(NamedTuple):
    """
    A pod that does not ask for cpu, memory and devices in the ratio of a class of nodes where it may run.

    These amounts are `asked` for, and `nearest` would do. `rule` is on the first of these that is another one.
    """

    rule: Limit
    asked: Amounts
    shape: Shape
    nearest: Amounts


Unmet: TypeAlias = Shortfall | OffShape
"""What an object asks for that is not enough, or does not go together."""


class Filled(NamedTuple):
    """A limit that is nearly full, and how much of it is taken, with what is allowed now."""

    rule: Limit
    taken: Amount


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    The charge fits. `reservation` must be held from now on; None if no amount grows and nobody else is charged.

    `tolerated` are exceeded limits: their mode is only warn or audit, or the charge must not be denied. So are the
    limits of `tolerated_lacks` and `tolerated_unmet`. `fullest` is the limit of which the largest share is taken;
    None if nobody is to be warned. `demand` is what it adds under each limit; None if it exceeds any, or if only the
    ledger itself can tell.
    """

    reservation: Reservation | None
    tolerated: tuple[Excess, ...] = ()
    tolerated_lacks: tuple[Lack, ...] = ()
    fullest: Filled | None = None
    tolerated_unmet: tuple[Unmet, ...] = ()
    demand: Demand | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """
    The charge does not fit. `excesses` are the exceeded limits that refuse it, in the order of the policy.

    `lacks` are the limits on a resource that is not declared, and `unmet` the minimums that the object is below,
    in the same order, and then the shapes that it has not. `tolerated` are the limits that only warn or audit, and that
    it does not keep either.
    """

    excesses: tuple[Excess, ...]
    lacks: tuple[Lack, ...] = ()
    unmet: tuple[Unmet, ...] = ()
    tolerated: tuple[Limit, ...] = ()


Decision = Allowed | Denied


def exceeded_limits(decision: Decision) -> tuple[Limit, ...]:
    """Return all limits that the charge exceeds, or does not reach, also those that let it pass."""
    if isinstance(decision, Denied):
        refusing: tuple[Excess | Lack | Unmet, ...] = (*decision.excesses, *decision.lacks, *decision.unmet)
        return (*(each.rule for each in refusing), *decision.tolerated)
    found: tuple[Excess | Lack | Unmet, ...] = (
        *decision.tolerated,
        *decision.tolerated_lacks,
        *decision.tolerated_unmet,
    )
    return tuple(each.rule for each in found)


def must_declare(policy: Policy, in_force: LimitsInForce, *, caps: Collection[str | None]) -> tuple[Limit, ...]:
    """
    Return the limits *in_force* on a resource that a new object with these *caps* has to declare, in their order.

    A limit of 0 requires the resource without a word of the policy, because an object that declares nothing would use
    it all the same; unless the policy says to ignore it.
    """
    binding = (*(each for each in in_force.caps if each.cap in caps), *in_force.sums)
    return tuple(each for each in binding if each.resource in DECLARABLE and _is_required(policy, each))


def _is_required(policy: Policy, limit: Limit) -> bool:
    rule = policy.missing.get(limit.resource)
    return rule is Missing.REQUIRE or (limit.hard == 0 and rule is not Missing.IGNORE)


def lacks_of(required: Iterable[Limit], undeclared: Undeclared) -> tuple[Lack, ...]:
    """Return those of the *required* limits whose resource is *undeclared*, with the containers."""
    return tuple(Lack(each, undeclared[each.resource]) for each in required if undeclared.get(each.resource))


def decide(
    charge: Charge,
    in_force: LimitsInForce,
    view: UsageView,
    *,
    may_deny: bool = True,
    lacks: tuple[Lack, ...] = (),
) -> Decision:
    """
    Return Allowed if *charge* fits under every enforced limit *in_force* beside the usage in *view*, declares what it
    must, so that it *lacks* nothing, is not below a minimum and has the shapes of the nodes; else Denied. In pools of
    nodes it has to fit beside what was promised to others. What it exceeds of other limits is tolerated.

    Unless it *may_deny*, the charge is allowed, and every exceeded limit is tolerated.

    Only amounts that grow are compared: shrinking and unrelated changes pass even over the limit; with minimums, only
    those that shrink; with shapes, only those that change. What the object's own key already holds counts once, so that
    a repeated call is never charged twice.
    """
    lacks = (*lacks, *_left_open(charge, in_force))
    unmet: tuple[Unmet, ...] = (*_below_minimums(charge, in_force), *_off_shape(charge, in_force))
    if not (charge.grows or lacks or unmet):
        return Allowed(None)
    over_sums = _over_sums(charge, in_force, view)
    excesses = (*_over_caps(charge, in_force), *with_parts(over_sums, _over_pools(charge, in_force, view)))
    broken = [excess.rule for excess in excesses]
    broken += [lack.rule for lack in lacks] + [shortfall.rule for shortfall in unmet]
    if may_deny and any(rule.mode is Mode.ENFORCE for rule in broken):
        return Denied(
            tuple(excess for excess in excesses if excess.rule.mode is Mode.ENFORCE),
            tuple(lack for lack in lacks if lack.rule.mode is Mode.ENFORCE),
            tuple(each for each in unmet if each.rule.mode is Mode.ENFORCE),
            tuple(rule for rule in broken if rule.mode is not Mode.ENFORCE),
        )
    reservation = charge.reservation() if charge.grows else None
    demand = None if reservation is None or excesses else demand_of(charge, in_force)
    return Allowed(reservation, excesses, lacks, tolerated_unmet=unmet, demand=demand)


def with_fullest(
    decision: Decision, charge: Charge, in_force: LimitsInForce, view: UsageView, *, percent: int | None
) -> Decision:
    """
    Return *decision* with the fullest limit on what a new object costs, if at least *percent* of it are taken.

    With None, and if the object is denied, return it as it is.
    """
    if percent is None or isinstance(decision, Denied):
        return decision
    amounts = dict(charge.compared)
    filled = []
    for limit in in_force.sums:
        amount = amounts.get(limit.resource)
        if amount is None or limit.mode is Mode.AUDIT:
            continue
        held = view.held(charge.key, limit.subject, limit.resource)
        together = view.allocated(limit.subject, limit.resource) - held + max(held, amount)
        if together <= limit.hard and together * 100 >= limit.hard * percent:
            filled.append(Filled(limit, together))
    fullest = max(filled, key=lambda each: Fraction(each.taken) / Fraction(each.rule.hard), default=None)
    return replace(decision, fullest=fullest)


def _over_caps(charge: Charge, in_force: LimitsInForce) -> list[Excess]:
    if not in_force.caps:
        return []
    binding = charge.caps
    caps = [cap for cap in in_force.caps if cap.cap in binding]
    if not caps:
        return []
    requested, before = dict(charge.capped), dict(charge.capped_before)
    fitting = [(cap, max(cap.hard, before.get(cap.resource, 0))) for cap in caps]
    return [
        Excess(cap, requested[cap.resource], 0, 0, fits)
        for cap, fits in fitting
        if requested.get(cap.resource, 0) > fits
    ]


def _below_minimums(charge: Charge, in_force: LimitsInForce) -> tuple[Shortfall, ...]:
    """Return the minimums that a new object is below, or one that asks for even less than before."""
    names = _minimums_of(charge)
    rules = [cap for cap in in_force.caps if cap.cap in names]
    if not rules:
        return ()
    asked, before = dict(charge.asked), None if charge.asked_before is None else dict(charge.asked_before)
    found = ((rule, asked.get(rule.resource, 0)) for rule in rules)
    return tuple(
        Shortfall(rule, amount)
        for rule, amount in found
        if amount < (rule.hard if before is None else min(rule.hard, before.get(rule.resource, 0)))
    )


def below_minimums(asked: Amounts, rules: Iterable[Limit]) -> tuple[Shortfall, ...]:
    """Return those of the minimums *rules* that a new object which asks for *asked* is below."""
    amounts = dict(asked)
    found = (Shortfall(rule, amounts.get(rule.resource, 0)) for rule in rules)
    return tuple(each for each in found if each.requested < each.rule.hard)


def _off_shape(charge: Charge, in_force: LimitsInForce) -> Iterator[OffShape]:
    """Return the shapes that a new pod has not, or one that asks for other amounts, or is new in a class."""
    return off_shapes(charge.asked, (each for each in in_force.shapes if _is_asked(charge, each)))


def _is_asked(charge: Charge, each: ShapeLimit) -> bool:
    """Whether *charge* is judged by a shape: what was there and stays as it is, is not."""
    prior, before = charge.prior, charge.asked_before
    if prior is None or before is None:
        return True
    amounts, former = dict(charge.asked), dict(before)
    is_new = each.node_class not in scopes.values_of(scopes.NODE_CLASS, prior.scopes)
    return is_new or any(amounts.get(name, 0) != former.get(name, 0) for name, _ in each.shape.unit)


def off_shapes(asked: Amounts, shapes: Iterable[ShapeLimit]) -> Iterator[OffShape]:
    """Yield those of *shapes* that a new pod which asks for *asked* has not."""
    amounts = dict(asked)
    for each in shapes:
        if each.shape.holds(amounts):
            continue
        nearest = each.shape.nearest(amounts)
        name, amount = next(other for other in nearest if other[1] != amounts.get(other[0], 0))
        rule = structs.replace(each.limit, resource=name, hard=amount)
        yield OffShape(rule, tuple((name, amounts.get(name, 0)) for name, _ in nearest), each.shape, nearest)


def _minimums_of(charge: Charge) -> tuple[str, ...]:
    """Return the minimums that bind the object; none for a session whose size another object decides on too."""
    if charge.pods is not None:
        return () if charge.pods.is_partial else (MINIMUMS[PER_SESSION],)
    caps = (cap for cap in charge.caps if cap != PER_SESSION or charge.is_session)
    return tuple(MINIMUMS[cap] for cap in caps if cap in MINIMUMS)


def _left_open(charge: Charge, in_force: LimitsInForce) -> Iterator[Lack]:
    """Yield the caps on a time that the session leaves open: without it a default of its platform would hold."""
    left_open = charge.left_open
    for cap in in_force.caps if left_open else ():
        if cap.cap in charge.caps and cap.resource in left_open:
            yield Lack(cap, (left_open[cap.resource],))


class _Growth(NamedTuple):
    """The `amount` of a resource that an object asks for, what it had `before` an update, and what is `held` for it."""

    amount: Amount
    before: Amount
    held: Amount

    def beyond(self, room: Amount, limit: Limit, view: UsageView) -> Excess | None:
        """Return how *limit* is exceeded if the object may have *room* in all; None if it fits."""
        amount, before, held = self
        if max(held, amount) <= room:
            return None
        used, reserved = view.used(limit.subject, limit.resource), view.reserved(limit.subject, limit.resource)
        fits = max(before, room) if held <= room else before
        # An update based on an old version adds more than its own growth: the stored object has shrunk since.
        had = min(before, held)
        return Excess(limit, amount - had, used, reserved, fits, had)


def _over_sums(charge: Charge, in_force: LimitsInForce, view: UsageView) -> list[Excess]:
    requested = dict(charge.compared)
    over = []
    for limit in in_force.sums:
        amount = requested.get(limit.resource)
        if amount is None:
            continue
        before = charge.before(limit.resource, limit.subject) if charge.prior is not None else 0
        if amount <= before:
            continue
        allocated = view.allocated(limit.subject, limit.resource)
        if allocated + amount <= limit.hard:
            continue
        growth = _Growth(amount, before, view.held(charge.key, limit.subject, limit.resource))
        room = limit.hard - (allocated - growth.held)
        if growth.held <= room and charge.part_of:
            # What is held for the pods of its session may be used by this one.
            room += view.held_for_pods(charge.pod_sets, limit.subject, limit.resource)
        if (excess := growth.beyond(room, limit, view)) is not None:
            over.append(for_pods(replace(excess, ended=ended(limit, view)), view))
    return over


def with_parts(sums: Sequence[Excess], pools: Iterable[Excess]) -> list[Excess]:
    """
    Return the exceeded *sums* and *pools*. A limit of which parts are guaranteed may be in both, and is reported once.
    """
    found, others = list(sums), []
    for each in pools:
        is_part = each.on_demand is not None and each.on_demand.is_envelope
        at = next((at for at, known in enumerate(found) if known.rule == each.rule), None) if is_part else None
        if at is not None:
            found[at] = replace(found[at], fits=min(found[at].fits, each.fits), on_demand=each.on_demand)
        else:
            others.append(each)
    return [*found, *others]


def _over_pools(charge: Charge, in_force: LimitsInForce, view: UsageView) -> Iterator[Excess]:
    """
    Yield the pools of nodes that have too little, and the limits of which too little is left beside guarantees.

    `taken` says what counts there. Use of what was promised to its own holder makes that no more, so it always fits.
    """
    if not in_force.pools:
        return
    view.promise(in_force.promised)
    requested = dict(charge.compared)
    for each in in_force.pools:
        name = each.limit.resource
        amount = requested.get(name, 0)
        before = charge.before(name, each.counted_for) if charge.prior is not None else 0
        if amount <= before:
            continue
        if taken(each, view) + amount <= each.limit.hard:
            continue  # wherever the object counts, the sum grows by its amount at most
        growth = _Growth(amount, before, view.held(charge.key, each.counted_for, name))
        room = room_in_pool(each, (charge.key,), view, charge.pod_sets if charge.part_of else ())
        if (excess := growth.beyond(room, each.limit, view)) is not None:
            yield replace(excess, on_demand=on_demand(each, in_force.promised, view))


def for_pods(excess: Excess, view: UsageView) -> Excess:
    """Return *excess* with what is held for pods that may come: it tells why there is no room, and until when."""
    subject, name = excess.rule.subject, excess.rule.resource
    held = view.held_for_all_pods(subject, name)
    return replace(excess, held_for_pods=held.for_a_while, kept_for_pods=held.kept)


def ended(limit: Limit, view: UsageView) -> Amount:
    """
    Return how many of the pods that *limit* counts, if it counts stored ones, do not run any more.

    Those cost nothing else: they have finished, or the grace period of their deletion is over.
    """
    if limit.resource != PODS_STORED:
        return 0
    return max(view.used(limit.subject, PODS_STORED) - view.used(limit.subject, PODS), 0)
