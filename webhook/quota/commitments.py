"""
Commitments: capacity of a class of nodes that was promised to somebody for a time, whether they use it or not.

What is promised and not used is not free for others: for each resource the capacity has to be as large as the sum of
what each holder uses or was promised, whichever is more, of what is set aside for later, and of what all others use. So
moving a commitment never frees capacity that is in use.

The words, here and in `pool_room`:

* *holder*: to whom something was promised. In force, a commitment *covers* the pods of its holder.
* *on demand*: used beyond promises, by those who hold none and by holders beyond theirs. A limit may be on that alone.
* *ahead*: set aside for a commitment that begins later.
* *envelope*: a limit of which parts are guaranteed, as parts of a pool of nodes are promised; see `guarantees`.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from heapq import nsmallest
from typing import NamedTuple, TypeAlias

from webhook.quota import scopes
from webhook.quota.resources import Amount, show
from webhook.quota.scopes import Operator, Requirement, Scopes, Selector
from webhook.quota.shapes import Shape
from webhook.quota.subject import CLUSTER, Subject, scoped
from webhook.quota.transfer_offer import TransferOffer


class State(enum.Enum):
    """
    What became of a commitment, in the words of Limes.

    PLANNED: it begins later, and nothing is promised. PENDING: it was to begin and waits for capacity. GUARANTEED: it
    begins later, and its capacity is set aside. CONFIRMED: it is in force between its times. SUPERSEDED: others took
    its place. EXPIRED: it is over.
    """

    PLANNED = "planned"
    PENDING = "pending"
    GUARANTEED = "guaranteed"
    CONFIRMED = "confirmed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


FINAL = frozenset({State.SUPERSEDED, State.EXPIRED})

FOLLOWING: Mapping[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.PENDING, State.GUARANTEED, State.CONFIRMED, *FINAL}),
    State.PENDING: frozenset({State.CONFIRMED, *FINAL}),
    State.GUARANTEED: frozenset({State.CONFIRMED, *FINAL}),
    State.CONFIRMED: FINAL,
    State.SUPERSEDED: frozenset(),
    State.EXPIRED: frozenset(),
}
"""The states that may follow each."""

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

_BEGUN: Mapping[State, State] = {State.PLANNED: State.PENDING, State.GUARANTEED: State.CONFIRMED}
"""What a state becomes when a commitment begins."""

_MAX_SPOTS = 4096
"""Cached scopes of objects."""

_MOST_ENDINGS = 16
"""Ends of a pool that are looked at for one that frees something."""

HOLDING = frozenset({State.GUARANTEED, State.CONFIRMED})
"""The states in which something is promised, or set aside for later."""


class Pool(NamedTuple):
    """Nodes of one class, in one zone if `zone` is not empty."""

    node_class: str
    zone: str = ""

    @property
    def selector(self) -> Selector:
        """What selects the pods that count in the pool."""
        requirements = [Requirement(scopes.NODE_CLASS, Operator.IN, (self.node_class,))]
        if self.zone:
            requirements.append(Requirement(scopes.ZONE, Operator.IN, (self.zone,)))
        return Selector.of(requirements)

    @property
    def subject(self) -> Subject:
        """The subject of all pods in the pool."""
        return scoped(CLUSTER, self.selector)

    @property
    def around(self) -> tuple[Pool, ...]:
        """The pools in which something of this one counts: itself, and its whole class."""
        return (self, Pool(self.node_class)) if self.zone else (self,)

    def held_by(self, holder: Subject) -> Subject:
        """Return the subject of those pods in the pool that are covered by what was promised to *holder*."""
        return Subject(f"[{self.selector}, committed] {holder}")

    @property
    def on_demand(self) -> Subject:
        """The subject of those pods in the pool that belong to nobody to whom anything was promised."""
        return Subject(f"[{self.selector}, on demand] {CLUSTER}")

    def __str__(self) -> str:
        return f"{self.node_class} in {self.zone}" if self.zone else self.node_class


def beyond_commitments(node_class: str) -> Selector:
    """Return what selects of the pods in a class what nothing covers."""
    return replace(Pool(node_class).selector, on_demand=True)


@dataclass(frozen=True, slots=True)
class Commitment:
    """
    `amounts` of one pool that were promised to `holder`, from `begins` until just before `ends`.

    Without `begins` it is in force at once, without `ends` until somebody takes it away. Amounts are in billionths, by
    canonical names. `place` is its source and line. With an `offer` it may be accepted for another holder; until then
    it is promised as without.
    """

    name: str
    holder: Subject
    pool: Pool
    amounts: Mapping[str, Amount]
    state: State = State.CONFIRMED
    begins: datetime | None = None
    ends: datetime | None = None
    place: str = ""
    offer: TransferOffer | None = None

    def __str__(self) -> str:
        amounts = ",".join(f"{name}={show(name, amount)}" for name, amount in sorted(self.amounts.items()))
        times = (("from", self.begins), ("until", self.ends))
        told = "".join(f" {word} {moment.isoformat()}" for word, moment in times if moment is not None)
        offered = "" if self.offer is None else f", offered {self.offer}"
        return f"{amounts} of {self.pool} to {self.holder}, {self.state.value}{told}{offered}"

    @property
    def begin_key(self) -> datetime:
        """When it begins, to sort by: without a beginning it comes before all that have one."""
        return self.begins or _BEFORE_ALL

    def with_offer_of(self, former: Commitment | None) -> Commitment:
        """
        Return it with the offer of the *former* one in whose place it is written by a system that knows no offers.

        The offer goes if it promises anything else, or to anybody else: that was not offered.
        """
        if former is None or self.offer is not None:
            return self
        is_same = (self.holder, self.pool, self.amounts) == (former.holder, former.pool, former.amounts)
        return replace(self, offer=former.offer) if is_same else self

    def may_become(self, other: Commitment, now: datetime) -> bool:
        """Whether the state of *other* may follow its own, both as of *now*."""
        state = self.state_at(now)
        return other.state_at(now) in {state, *FOLLOWING[state]}

    def covers(self, now: datetime) -> bool:
        """Whether pods of the holder are covered by it at *now*; at exactly `ends` they no longer are."""
        return self.sets_aside(now) and (self.begins is None or self.begins <= now)

    def sets_aside(self, now: datetime) -> bool:
        """Whether its capacity is kept from others at *now*, also before it begins."""
        return self.state in HOLDING and (self.ends is None or now < self.ends)

    def state_at(self, now: datetime) -> State:
        """
        Return the state by the clock, whatever is written: what is over has expired, what is guaranteed is confirmed
        once it begins, and what was planned waits from then on.
        """
        if self.state in FINAL:
            return self.state
        if self.ends is not None and self.ends <= now:
            return State.EXPIRED
        has_begun = self.begins is None or self.begins <= now
        return _BEGUN.get(self.state, self.state) if has_begun else self.state


@dataclass(frozen=True, slots=True)
class ClassTerms:
    """
    What is agreed on the resources of a class of nodes, by canonical names.

    One of a resource is `worth` so much against the same of other classes. What nodes have may be used so many times as
    `overcommit` says, once where it says nothing, and of that the part `committable` may be promised; nothing of a
    class that does not take commitments. One `unit` of the class is these amounts; empty where it has none. Pods have
    the `shape`; None: any.
    """

    worth: Mapping[str, int] = field(default_factory=dict)
    overcommit: Mapping[str, Fraction] = field(default_factory=dict)
    committable: Fraction = Fraction(1)
    takes_commitments: bool = True
    unit: Mapping[str, Amount] = field(default_factory=dict)
    shape: Shape | None = None

    def usable(self, has: Mapping[str, Amount]) -> Mapping[str, Amount]:
        """Return how much may be used of what nodes have: the same object where nothing is overcommitted."""
        if not self.overcommit:
            return has
        return {name: int(amount * self.overcommit.get(name, 1)) for name, amount in has.items()}


NO_TERMS = ClassTerms()

_Spot: TypeAlias = tuple[tuple[Pool, ...], Mapping[Subject, Subject]]


class Place(NamedTuple):
    """
    Where an object counts in one class: in `pools`, its zone and its whole class, or the class alone.

    `holder` is the subject of what covers it, see `Pool.held_by`; None if nothing does.
    """

    pools: tuple[Pool, ...]
    holder: Subject | None

    @property
    def node_class(self) -> str:
        """The class."""
        return self.pools[0].node_class


class Cover(NamedTuple):
    """
    What covers the pods of one holder in one pool, and the pools where it is set aside: that one and its class.

    What the holder uses beyond it counts for the subject `beyond` as well, if a limit is on that.
    """

    amounts: Mapping[str, Amount]
    pools: tuple[Subject, ...]
    beyond: Subject | None = None


class Ending(NamedTuple):
    """The end of a commitment: from `at` on it covers nothing. `holder` is the subject of `Pool.held_by`."""

    at: datetime
    holder: Subject


@dataclass(frozen=True, slots=True)
class InForce:
    """
    What is promised at one time; `ahead`, `sums` and `endings` by the subject of a pool.
    """

    covers: Mapping[Subject, Cover] = field(default_factory=dict)
    """By the subject of `Pool.held_by`; empty amounts for a holder whose commitments begin later or are over."""
    ahead: Mapping[Subject, Mapping[str, Amount]] = field(default_factory=dict)
    """What is set aside for later: nobody may use it before."""
    sums: Mapping[Subject, Mapping[str, Amount]] = field(default_factory=dict)
    """All that is promised, `ahead` included."""
    endings: Mapping[Subject, Sequence[Ending]] = field(default_factory=dict)
    """The next ends of commitments that cover somebody, the soonest first."""
    since: datetime | None = None
    """The last begin or end of a commitment; None if none has passed."""


NOTHING_IN_FORCE = InForce()


class Commitments:
    """All commitments of a policy."""

    def __init__(self, every: Iterable[Commitment] = (), *, limited_on_demand: Collection[str] = ()) -> None:
        """
        Keep *every* commitment; no two have the same name. In classes that are *limited_on_demand* what each holder
        uses beyond is counted.
        """
        self.every = tuple(every)
        self.limited_on_demand = frozenset(limited_on_demand)
        names: defaultdict[str, set[str]] = defaultdict(set)
        self._of_pool: defaultdict[Pool, list[Commitment]] = defaultdict(list)
        for each in self.every:
            if each.state not in FINAL:
                self._of_pool[each.pool].append(each)
                names[each.pool.node_class].update(each.amounts)
        self._names = {name: frozenset(found) for name, found in names.items()}
        self._inner: defaultdict[Pool, list[Pool]] = defaultdict(list)
        for pool in self._of_pool:
            for outer in pool.around:
                self._inner[outer].append(pool)
        self._held_by = {
            pool: {each: pool.held_by(each) for each in {one.holder for one in listed}}
            for pool, listed in self._of_pool.items()
        }
        # A holder whose commitments are all pending or planned is none yet: what was promised to a larger subject, such
        # as the tenant, may cover their pods.
        promised = {(each.pool, each.holder) for each in self.every if each.state in HOLDING}
        self._covering = {
            pool: {each: subject for each, subject in held_by.items() if (pool, each) in promised}
            for pool, held_by in self._held_by.items()
        }
        self._spots: dict[Scopes, tuple[_Spot, ...]] = {}
        self._zoned = {pool.node_class for pool in self._of_pool if pool.zone}
        moments = {moment for each in self.every for moment in (each.begins, each.ends) if moment is not None}
        self._moments = tuple(sorted(moments))
        self._in_force: tuple[int, InForce] | None = None

    def with_limits_on_demand(self, classes: Collection[str]) -> Commitments:
        """Return the same commitments, where *classes* are limited on demand and no others."""
        is_so = self.limited_on_demand == frozenset(classes)
        return self if is_so else Commitments(self.every, limited_on_demand=classes)

    def __bool__(self) -> bool:
        return bool(self.every)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Commitments) and self.every == other.every

    def __hash__(self) -> int:
        return hash(tuple(each.name for each in self.every))

    @property
    def resources(self) -> frozenset[str]:
        """The resources of which anything was promised."""
        return frozenset().union(*self._names.values())

    def resources_of(self, node_class: str) -> frozenset[str]:
        """Return the resources of which anything was promised in a class."""
        return self._names.get(node_class, frozenset())

    @property
    def pools(self) -> Collection[Pool]:
        """The pools of which anything was promised, and their whole classes."""
        return self._inner.keys()

    def within(self, pool: Pool) -> Iterator[tuple[Commitment, Subject]]:
        """Yield the commitments of *pool* and of its zones, each with the subject it covers, see `Pool.held_by`."""
        for inner in self._inner.get(pool, ()):
            held_by = self._held_by[inner]
            yield from ((each, held_by[each.holder]) for each in self._of_pool[inner])

    def in_force(self, now: datetime) -> InForce:
        """Return what is promised at *now*; the same object until something begins or ends."""
        phase = bisect_right(self._moments, now)
        if self._in_force is None or self._in_force[0] != phase:
            self._in_force = (phase, self._at(now, since=self._moments[phase - 1] if phase else None))
        return self._in_force[1]

    def places_of(self, objects_scopes: Scopes, subjects: Collection[Subject]) -> Iterator[Place]:
        """
        Yield where an object of *subjects* in *objects_scopes* counts, for each class with commitments.

        A pod that may run in several zones, or in any, counts in the class alone, and no commitment of a zone covers
        it: of one class either all commitments name a zone or none does, which the reader of the policy checks. An
        object counts for one holder, the first of its subjects, the nearest, that has a guaranteed or confirmed
        commitment there, also before it begins and after its end: so nothing that was promised to two is taken by one
        object for both, and whom an object counts for does not change with the time of day.
        """
        for pools, held_by in self._spots_of(objects_scopes):
            yield Place(pools, next((held_by[each] for each in subjects if each in held_by), None))

    def _spots_of(self, objects_scopes: Scopes) -> tuple[_Spot, ...]:
        """Return where an object in *objects_scopes* counts, and the subjects of what covers it, by holder."""
        known = self._spots.get(objects_scopes)
        if known is None:
            if len(self._spots) >= _MAX_SPOTS:
                self._spots.clear()
            known = self._spots[objects_scopes] = tuple(self._found_spots(objects_scopes))
        return known

    def _found_spots(self, objects_scopes: Scopes) -> Iterator[_Spot]:
        for name in scopes.values_of(scopes.NODE_CLASS, objects_scopes):
            if name in self._names:
                pool = Pool(name, self._zone_of(name, objects_scopes))
                yield pool.around, self._covering.get(pool, {})

    def _zone_of(self, node_class: str, objects_scopes: Scopes) -> str:
        """Return the only zone where an object may run, empty if there are others or if zones are all alike."""
        if node_class not in self._zoned:
            return ""
        zones = scopes.values_of(scopes.ZONE, objects_scopes)
        return zones[0] if len(zones) == 1 else ""

    def _at(self, now: datetime, *, since: datetime | None) -> InForce:
        covers: dict[Subject, Cover] = {}
        ahead: defaultdict[Subject, dict[str, Amount]] = defaultdict(dict)
        sums: defaultdict[Subject, dict[str, Amount]] = defaultdict(dict)
        endings: defaultdict[Subject, list[Ending]] = defaultdict(list)
        for inner in self._of_pool:
            pools = tuple(each.subject for each in inner.around)
            covered: defaultdict[Subject, dict[str, Amount]] = defaultdict(dict)
            for each in self._of_pool[inner]:
                if not each.sets_aside(now):
                    continue
                subject = self._held_by[inner][each.holder]
                is_ahead = not each.covers(now)
                if not is_ahead:
                    add_amounts(covered[subject], each.amounts)
                for pool in pools:
                    add_amounts(sums[pool], each.amounts)
                    if is_ahead:
                        add_amounts(ahead[pool], each.amounts)
                    elif each.ends is not None:
                        endings[pool].append(Ending(each.ends, subject))
            on_demand = beyond_commitments(inner.node_class)
            is_limited = inner.node_class in self.limited_on_demand
            for holder, subject in self._covering[inner].items():
                beyond = scoped(holder, on_demand) if is_limited else None
                covers[subject] = Cover(covered.get(subject, {}), pools, beyond)
        soonest = {pool: nsmallest(_MOST_ENDINGS, found) for pool, found in endings.items()}
        return InForce(covers, ahead, sums, soonest, since)


NO_COMMITMENTS = Commitments()


def charged_pools(commitments: Commitments, objects_scopes: Scopes, subjects: Collection[Subject]) -> Iterator[Subject]:
    """
    Yield what else is charged for an object of *subjects*: the pools in which it counts, and what covers it there.

    An object that nothing covers is charged to the subject `on_demand` of the pool. Two creates of one name, one
    covered and one not, count for one subject each: so both count.
    """
    for place in commitments.places_of(objects_scopes, subjects):
        yield from (each.subject for each in place.pools)
        yield from (each.on_demand for each in place.pools) if place.holder is None else (place.holder,)


def add_amounts(total: dict[str, Amount], amounts: Mapping[str, Amount]) -> None:
    """Add *amounts* to *total*, by name."""
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount
