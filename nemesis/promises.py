"""
What a policy of this workload promises of classes of nodes, and how much of a pool is taken by that and by use.

It shares no code with the webhook: the rules are those of docs/commitments.md. A pool is a class of nodes, or one of
its zones. Of a pool there has to be as much as each holder uses or was promised, whichever is more, what is set aside
for later, and what all others use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import yaml

from nemesis.accounting import COUNTED, GPU, Key, counted, quantity
from nemesis.ledger_text import Amount, Payer, Place
from nemesis.records import CLASS_LABEL, ZONE_LABEL, NodeRevision

OF_NODES = ("requests.cpu", GPU)
"""The resources that commitments of this workload are of."""

HOLDERS = ("user", "namespace", "group", "tenant")
"""Who may hold one, in the order in which an object looks for what covers it."""

_SHORT = {"cpu": "requests.cpu"}
_OVER = ("superseded", "expired")
_HOLDING = ("confirmed", "guaranteed")
FOLLOWING: Mapping[str, tuple[str, ...]] = {
    "planned": ("planned", "pending", "guaranteed", "confirmed", *_OVER),
    "pending": ("pending", "confirmed", *_OVER),
    "guaranteed": ("guaranteed", "confirmed", *_OVER),
    "confirmed": ("confirmed", *_OVER),
    "superseded": ("superseded",),
    "expired": ("expired",),
}
"""The states that a commitment may have after an edit, by the one before."""

Amounts = Mapping[str, Amount]


class Use(NamedTuple):
    """What one object costs of what nodes have, or would cost once it is stored."""

    payer: Payer
    namespace: str
    place: Place
    amounts: Amounts


class Hold(NamedTuple):
    """Who uses, or was promised, something of a pool. Without `holder`: what nothing covers."""

    pool: Place
    holder: str = ""


class Commitment(NamedTuple):
    """A commitment as the policy has it; times in seconds since 1970."""

    name: str
    hold: Hold
    amounts: Amounts
    state: str
    begins: float
    ends: float

    def state_at(self, now: float) -> str:
        return "expired" if self.state not in _OVER and self.ends <= now else self.state

    def sets_aside(self, now: float) -> bool:
        return self.state in _HOLDING and now < self.ends

    def covers(self, now: float) -> bool:
        return self.sets_aside(now) and self.begins <= now


Options = list[tuple[Hold, Amount]]
"""Of one name, who uses how much: one of these comes true."""


@dataclass(frozen=True, slots=True, eq=False)
class Promised:
    """What is promised at one time: what covers whom, and what is set aside for later, which covers nobody."""

    covers: Mapping[Hold, dict[str, Amount]]
    ahead: Mapping[Place, dict[str, Amount]]


class Promises:
    """The classes of nodes and the commitments of one policy text."""

    def __init__(self, text: str) -> None:
        said = yaml.safe_load(text) or {}
        self.classes = tuple(said.get("nodeClasses", {}))
        for name, entry in said.get("nodeClasses", {}).items():
            if entry["nodes"]["matchLabels"] != {CLASS_LABEL: name} or entry.keys() - {"nodes"}:
                raise ValueError(f"the judge does not know such a class as {name}: {entry}")
        self._tenants = {
            name: entry["namespaces"]["matchLabels"]["kubernetes.io/metadata.name"]
            for name, entry in said.get("tenants", {}).items()
        }
        self.every = {name: _commitment(name, entry) for name, entry in said.get("commitments", {}).items()}
        lasting = [each for each in self.every.values() if each.state not in _OVER]
        self._holds = {each.hold for each in lasting if each.state in _HOLDING}
        self._zoned = {each.hold.pool.node_class for each in lasting if each.hold.pool.zone}
        self.resources = defaultdict[str, set[str]](set)
        for each in lasting:
            self.resources[each.hold.pool.node_class] |= each.amounts.keys()
        self._moments = sorted({at for each in lasting for at in (each.begins, each.ends)})
        self._at: dict[float, Promised] = {}
        self._known: dict[tuple[Payer, str, Place], Hold] = {}

    def at(self, now: float) -> Promised:
        """Return what is promised at a time."""
        since = self.moment(now)
        if since not in self._at:
            covers, ahead = defaultdict[Hold, dict[str, Amount]](dict), defaultdict[Place, dict[str, Amount]](dict)
            for each in self.every.values():
                if each.sets_aside(now):
                    total = covers[each.hold] if each.covers(now) else ahead[each.hold.pool]
                    for name, amount in each.amounts.items():
                        total[name] = total.get(name, 0) + amount
            self._at[since] = Promised(covers, ahead)
        return self._at[since]

    def moment(self, now: float) -> float:
        """Return when something has begun or ended last, -1 if nothing has."""
        return max((each for each in self._moments if each <= now), default=-1.0)

    def between(self, begun: float, ended: float) -> list[float]:
        """Return times between two, one for each time at which something else is promised; the last one first."""
        return [ended, *(each for each in reversed(self._moments) if begun < each < ended), begun]

    def later(self, now: float) -> list[float]:
        """Return *now*, and all later times at which something begins or ends."""
        return [now, *(each for each in self._moments if now < each < float("inf"))]

    def promised(self, node_class: str, now: float) -> set[str]:
        """Return the resources of which any is promised in a class of nodes, now or for later."""
        several = (each for each in self.every.values() if each.sets_aside(now))
        return {name for each in several if each.hold.pool.node_class == node_class for name in each.amounts}

    def promises_as(self, other: Promises, now: float) -> bool:
        """Whether both promise the same to the same holders, from a time on."""
        return self.lasting(now) == other.lasting(now)

    def more_than(self, other: Promises, now: float) -> set[Hold]:
        """Return the holders to whom more is promised than by another policy, now or later."""
        total = defaultdict[tuple[Hold, str], Amount](int)
        for promises, sign in ((self, 1), (other, -1)):
            for (hold, name, *_), amount in promises.lasting(now).items():
                total[hold, name] += sign * amount
        return {hold for (hold, _), amount in total.items() if amount > 0}

    def lasting(self, now: float) -> Mapping[tuple[Hold, str, float, float], Amount]:
        """Return how much of what is promised to whom from when until when, of what has not ended."""
        total = defaultdict[tuple[Hold, str, float, float], Amount](int)
        for each in self.every.values():
            if each.sets_aside(now):
                for name, amount in ((name, amount) for name, amount in each.amounts.items() if amount):
                    total[each.hold, name, max(each.begins, now), each.ends] += amount
        return total

    def pool_of(self, place: Place) -> Place:
        """Return the smallest pool in which what may run at *place* counts."""
        return place if place.node_class in self._zoned else Place(place.node_class)

    def apart(self, several: Sequence[Use]) -> list[list[Use]]:
        """Return the uses of one name by holder, as if each of them could come true beside the others."""
        return _grouped((self.hold_of(use), use) for use in several)

    def apart_on_demand(self, several: Sequence[Use]) -> list[list[Use]]:
        """Return the same, where what nothing covers counts once, whatever zones it is asked for in."""
        holds = [(self.hold_of(use), use) for use in several]
        return _grouped((hold if hold.holder else Hold(Place(use.place.node_class)), use) for hold, use in holds)

    def hold_of(self, use: Use) -> Hold:
        """Return where an object counts: for the first of its possible holders to whom anything was promised there."""
        key = (use.payer, use.namespace, use.place)
        if key not in self._known:
            pool = self.pool_of(use.place)
            several = (
                f"user/{use.payer.owner}",
                f"namespace/{use.namespace}",
                *(f"group/{name}" for name in sorted(use.payer.groups)),
                *(f"tenant/{name}" for name, namespace in sorted(self._tenants.items()) if namespace == use.namespace),
            )
            found = (Hold(pool, each) for each in several)
            self._known[key] = next((each for each in found if each in self._holds), Hold(pool))
        return self._known[key]

    def sums(self) -> list[tuple[Place, str]]:
        """Return the pools of which anything was promised, and their classes, with each resource of the class."""
        pools = dict.fromkeys(each for hold in self._holds for each in around(hold.pool))
        return [(pool, name) for pool in pools for name in sorted(self.resources[pool.node_class])]

    def taken(self, now: float, names: Iterable[Sequence[Use]], pool: Place, name: str) -> Amount:
        """
        Return how much of a pool is taken at most, if of each of the *names* one of several uses comes true.

        Only one object has a name: two people who ask for one name at once do not both use what was promised to them.
        """
        promised = self.at(now)
        covers = {hold: amounts.get(name, 0) for hold, amounts in promised.covers.items() if pool in around(hold.pool)}
        ahead = sum(amounts.get(name, 0) for place, amounts in promised.ahead.items() if pool in around(place))
        used: dict[Hold, Amount] = {}
        unsure: list[Options] = []
        for several in names:
            by_hold: dict[Hold, Amount] = {}
            for use in several:
                amount = use.amounts.get(name, 0)
                if amount and use.place.node_class == pool.node_class:
                    hold = self.hold_of(use)
                    if pool.zone in ("", hold.pool.zone):
                        by_hold[hold] = max(by_hold.get(hold, 0), amount)
            if len(by_hold) > 1:
                unsure.append(list(by_hold.items()))
            else:
                _add(used, by_hold.items())
        return ahead + _most(covers, used, unsure)


def _grouped(uses: Iterable[tuple[Hold, Use]]) -> list[list[Use]]:
    by_hold = defaultdict[Hold, list[Use]](list)
    for hold, use in uses:
        by_hold[hold].append(use)
    return list(by_hold.values())


def _most(covers: Mapping[Hold, Amount], used: Mapping[Hold, Amount], unsure: Sequence[Options]) -> Amount:
    """
    Return the largest sum of what each holder uses or was promised, if of each name one of its options comes true.

    What is known of the names so far is how much each holder could use that adds nothing, and the most that was added.
    """
    free = {hold: cover - used.get(hold, 0) for hold, cover in covers.items() if cover > used.get(hold, 0)}
    places = {hold: place for place, hold in enumerate(free)}
    worlds: dict[tuple[Amount, ...], Amount] = {tuple(free.values()): 0}
    for options in unsure:
        following: dict[tuple[Amount, ...], Amount] = {}
        for left, added in worlds.items():
            for hold, amount in options:
                place = places.get(hold)
                covered = min(left[place], amount) if place is not None else 0
                then = left if place is None else (*left[:place], left[place] - covered, *left[place + 1 :])
                following[then] = max(following.get(then, 0), added + amount - covered)
        worlds = following
    sure = sum(max(covers.get(each, 0), used.get(each, 0)) for each in covers.keys() | used.keys())
    return sure + max(worlds.values())


def around(pool: Place) -> tuple[Place, ...]:
    """Return the pools in which counts what counts in *pool*: itself, and its whole class."""
    return (pool, Place(pool.node_class)) if pool.zone else (pool,)


def key_of(pool: Place, name: str) -> Key:
    """Return the key of a resource of a pool, with the subject that refusals name."""
    zone = f", Zone In ({pool.zone})" if pool.zone else ""
    return Key(f"[NodeClass In ({pool.node_class}){zone}] cluster", name)


def is_of_pool(key: Key) -> bool:
    """Whether it is the key of a pool."""
    return key.subject.startswith("[")


def capacity(nodes: Iterable[NodeRevision]) -> dict[Key, Amount]:
    """Return what *nodes* have that take pods, by pool."""
    total = defaultdict[Key, Amount](int)
    for node in nodes:
        node_class = node.labels.get(CLASS_LABEL, "")
        if not node_class or not node.takes_pods:
            continue
        has = counted({f"requests.{name}": quantity(amount) for name, amount in node.allocatable.items()})
        for pool in around(Place(node_class, node.labels.get(ZONE_LABEL, ""))):
            for name in OF_NODES:
                total[key_of(pool, name)] += has.get(name, 0)
    return total


def of_nodes(amounts: Amounts) -> Amounts:
    """Return those amounts that nodes have."""
    return {name: amount for name, amount in amounts.items() if name in OF_NODES}


def _commitment(name: str, entry: Mapping[str, Any]) -> Commitment:
    (kind,) = [each for each in HOLDERS if each in entry]
    amounts: dict[str, object] = entry["amounts"]
    hard: dict[str, Amount] = {_SHORT.get(each, each): quantity(str(amount)) for each, amount in amounts.items()}
    if not hard.keys() <= set(OF_NODES) <= set(COUNTED):
        raise ValueError(f"the judge does not count {sorted(hard)} of nodes")
    hold = Hold(Place(str(entry["nodeClass"]), str(entry.get("zone", ""))), f"{kind}/{entry[kind]}")
    return Commitment(
        name,
        hold,
        hard,
        str(entry.get("state", "confirmed")),
        _seconds(entry.get("from"), float("-inf")),
        _seconds(entry.get("until"), float("inf")),
    )


def _seconds(moment: object, otherwise: float) -> float:
    if moment is None:
        return otherwise
    return (moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))).timestamp()


def _add(total: dict[Hold, Amount], amounts: Iterable[tuple[Hold, Amount]]) -> None:
    for hold, amount in amounts:
        total[hold] = total.get(hold, 0) + amount
