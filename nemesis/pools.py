"""
The pools of nodes at one revision: what nodes have, what was promised of it, who uses what, and the minutes before.

It only follows the history. `pools_check` judges it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from nemesis.accounting import Key, counted, payer_of, place_of
from nemesis.ledger_text import Amount, Claim, LedgerText, Payer
from nemesis.limits_check import LIMIT_LAG
from nemesis.promises import Hold, Promises, Use, around, capacity, key_of, of_nodes
from nemesis.records import DELETED, NodeRevision, PodRevision, Slot, TextRevision
from nemesis.timeline import Spans
from nemesis.world import World

_REMEMBERED = 240.0
_NEWEST = 2**63


class _Policy(NamedTuple):
    at: float
    version: int
    promises: Promises


class _Nodes(NamedTuple):
    at: float
    version: int
    has: Mapping[Key, Amount]


class Order(NamedTuple):
    """
    The order that the ledger sets: the oldest policy and the earliest time, in seconds since 1970, to decide by.

    Without it, only the watches and the clocks of replicas say what was in force.
    """

    version: int = 0
    since: float = 0.0


NO_ORDER = Order()


class Terms(NamedTuple):
    """What a replica may have decided by: a policy, what nodes have, and the time in seconds since 1970."""

    promises: Promises
    has: Mapping[Key, Amount]
    now: float


class _Change(NamedTuple):
    """What a name used for a time."""

    since: float
    until: float
    slot: Slot
    uses: tuple[Use, ...]


class Pools:
    """
    Follows nodes, policies, pods and the ledger; `epoch` is when the record began, in seconds since 1970.

    Without `is_ordered` the ledgers of the record set no order.
    """

    def __init__(self, troubles: Spans, *, epoch: float, is_ordered: bool = False) -> None:
        self.troubles = troubles
        self.epoch = epoch
        self.is_ordered = is_ordered
        self.binding: dict[Slot, tuple[Use, ...]] = {}
        """
        By name what its object uses, or will if one of the writes is stored that are in flight: one of these is true.
        """
        self._seen: dict[Slot, tuple[float, tuple[Use, ...]]] = {}
        """The same with what can never be stored, and since when: replicas may count that for a while."""
        self._stored: dict[Slot, Use] = {}
        """What the objects use that exist."""
        self._changes = deque[_Change]()
        self.payers: dict[str, Payer] = {}
        self._nodes: dict[str, NodeRevision] = {}
        self._policies: list[_Policy] = []
        self._had = [_Nodes(float("-inf"), 0, {})]
        self._orders = [(float("-inf"), NO_ORDER)]

    @property
    def promises(self) -> Promises | None:
        """The newest policy."""
        return self._policies[-1].promises if self._policies else None

    @property
    def has(self) -> Mapping[Key, Amount]:
        """Return what nodes have now."""
        return self._had[-1].has

    @property
    def version(self) -> int:
        """Return the version of the newest policy, 0 if there is none."""
        return self._policies[-1].version if self._policies else 0

    def promises_at(self, version: int) -> Promises | None:
        """Return what the policy promised that was stored at a version, None if none was."""
        return next((each.promises for each in reversed(self._policies) if each.version == version), None)

    def had(self, since: float) -> list[Mapping[Key, Amount]]:
        """Return what nodes have now, and had from a time on."""
        return [each.has for each in _since(self._had, since, _NEWEST)]

    @property
    def order(self) -> Order:
        """Return what the ledger orders now."""
        return self._orders[-1][1]

    def take_ledger(self, at: float, ledger: LedgerText) -> None:
        """Follow what the ledger orders."""
        order = Order(ledger.policy_version, ledger.promised_at / 1e6)
        if order != self.order:
            self._orders.append((at, order))

    def order_since(self, begun: float) -> Order:
        """Return the least that was ordered at any time from one on."""
        orders = []
        for at, order in reversed(self._orders):
            orders.append(order)
            if at <= begun:
                break
        return Order(min(each.version for each in orders), min(each.since for each in orders))

    def take_policy(self, text: TextRevision) -> None:
        promises = Promises(text.text)
        if self.promises is not None and self.promises.every == promises.every:
            promises = self.promises  # only limits have changed
        self._policies.append(_Policy(text.at, text.version, promises))

    def take_node(self, node: NodeRevision) -> bool:
        """Follow a node; return whether what nodes have changed."""
        if node.event == DELETED:
            self._nodes.pop(node.name, None)
        else:
            self._nodes[node.name] = node
        has = capacity(self._nodes.values())
        if has == self.has:
            return False
        self._had.append(_Nodes(node.at, node.version, has))
        return True

    def follow(self, world: World, slot: Slot, at: float) -> bool:
        """Count a name again; return whether anything changed."""
        claims = tuple(world.claims.get(slot, {}).values())
        self._stored.pop(slot, None)
        for each in self.uses(world, slot, ()):
            self._stored[slot] = each
        seen = self.uses(world, slot, claims)
        binding = self.uses(world, slot, [each for each in claims if world.may_come_true(each)])
        since, known = self._seen.get(slot, (at, ()))
        if seen == known and binding == self.binding.get(slot, ()):
            return False
        self.set_binding(slot, binding)
        if seen != known:
            if known:
                self._changes.append(_Change(since, at, slot, known))
            self._seen.pop(slot, None)
            if seen:
                self._seen[slot] = (at, seen)
        while self._changes and self._changes[0].until < at - _REMEMBERED:
            self._changes.popleft()
        return True

    @property
    def seen(self) -> list[tuple[Use, ...]]:
        """What the names use, what can never be stored included."""
        return [uses for _, uses in self._seen.values()]

    def seen_without(self, promises: Promises, holds: set[Hold]) -> list[list[Use]]:
        """Return the same without what some holders have in flight, which may never be stored."""
        return [
            [each for each in uses if each == self._stored.get(slot) or promises.hold_of(each) not in holds]
            for slot, (_, uses) in self._seen.items()
        ]

    def set_binding(self, slot: Slot, several: tuple[Use, ...]) -> None:
        if several:
            self.binding[slot] = several
        else:
            self.binding.pop(slot, None)

    def uses(self, world: World, slot: Slot, claims: Sequence[Claim]) -> tuple[Use, ...]:
        """Return what the object of a name uses, and what it would by *claims*."""
        pod, row = world.objects.get(slot), world.rows.get(slot)
        several = []
        if row is not None and isinstance(pod, PodRevision) and row.amounts:
            several.append(Use(payer_of(pod), slot.namespace, place_of(pod), of_nodes(row.amounts)))
        several += [use_of(each) for each in claims]
        for each in several:
            self.payers[each.payer.owner] = each.payer
        is_of_pools = any(each.place.node_class for each in several)
        return tuple(each for each in several if each.amounts) if is_of_pools else ()

    def used(self, world: World) -> dict[Key, Amount]:
        """Return what existing pods use of each pool of the newest policy."""
        total: dict[Key, Amount] = {}
        promises = self.promises
        if promises is None:
            return total
        for slot in world.rows:
            for use in self.uses(world, slot, ()):
                for pool in around(promises.pool_of(use.place)):
                    for name, amount in use.amounts.items():
                        key = key_of(pool, name)
                        total[key] = total.get(key, 0) + amount
        return total

    def newest(self, at: float) -> Terms | None:
        """Return what has been stored, at a time; None without a policy."""
        return Terms(self._policies[-1].promises, self.has, self.time(at)) if self._policies else None

    def possible(self, begun: float, ended: float, *, until: int, order: Order = NO_ORDER) -> Iterator[Terms]:
        """Yield what a replica may have decided by between two times, and before a version; the newest first."""
        since, known = self.troubles.before(begun, LIMIT_LAG), set[tuple[int, int]]()
        earliest = max(self.time(since), order.since)
        latest = max(self.time(ended), earliest)
        policies = list(_since(self._policies, since, until))
        for policy in [each for each in policies if each.version >= order.version] or policies[:1]:
            for nodes in _since(self._had, since, until):
                for now in policy.promises.between(earliest, latest):
                    same = id(policy.promises.at(now)), id(nodes)
                    if same not in known:
                        known.add(same)
                        yield Terms(policy.promises, nodes.has, now)

    def time(self, at: float) -> float:
        """Return a time of the record in seconds since 1970."""
        return self.epoch + at

    def during(self, begun: float, ended: float) -> dict[Slot, tuple[Use, ...]]:
        """Return what each name used at any time between two: a replica may see old objects beside new claims."""
        found = defaultdict[Slot, list[Use]](list)
        for changed in reversed(self._changes):
            if changed.until < begun:
                break
            if changed.since <= ended:
                found[changed.slot] += changed.uses
        for slot, (since, uses) in self._seen.items():
            if since <= ended:
                found[slot] += uses
        return {slot: tuple(uses) for slot, uses in found.items()}


def use_of(claim: Claim) -> Use:
    """Return what the object of a claim would use."""
    return Use(claim.payer, claim.slot.namespace, claim.place, of_nodes(counted(claim.amounts)))


_StoredT = TypeVar("_StoredT", _Policy, _Nodes)


def _since(several: Sequence[_StoredT], since: float, until: int) -> Iterator[_StoredT]:
    """Yield what was stored before a version and in force after a time, the newest first."""
    for each in reversed(several):
        if each.version < until:
            yield each
        if each.at <= since:
            return
