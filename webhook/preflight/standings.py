"""
What every subject uses, how that stands to the limits in force, and the objects above a cap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from webhook.preflight.census import Census, CountedObject
from webhook.quota.limits import Limit, LimitsInForce, resolve_limits
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Mode
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Account, Subject


@dataclass(frozen=True, slots=True)
class SubjectUsage:
    """What the objects of one subject cost, by resource, in billionths of its unit."""

    subject: Subject
    used: Amounts


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit on the sum of what its subject uses, and that sum."""

    limit: Limit
    used: Amount

    @property
    def over(self) -> Amount:
        """Return how much more is used than the limit allows, 0 if it is not exceeded."""
        return max(self.used - self.limit.hard, 0)


@dataclass(frozen=True, slots=True)
class AboveCap:
    """The objects that ask for more than a cap on one object allows: their number, and the largest of them."""

    limit: Limit
    count: int
    largest: Amount
    largest_object: ObjectKey


@dataclass(frozen=True, slots=True)
class Standings:
    """
    The usage of all subjects by name; the limits that bind any object, those exceeded by most first; the caps exceeded.

    Limits that are enforced go before others that are exceeded.
    """

    usage: tuple[SubjectUsage, ...]
    limits: tuple[Standing, ...]
    above_caps: tuple[AboveCap, ...]

    @property
    def over(self) -> tuple[Standing, ...]:
        """Return the limits on sums that are exceeded."""
        return tuple(each for each in self.limits if each.over)

    @property
    def is_over_enforced(self) -> bool:
        """Whether a limit or a cap whose mode is `enforce` is exceeded."""
        exceeded = [each.limit for each in self.over] + [each.limit for each in self.above_caps]
        return any(each.mode is Mode.ENFORCE for each in exceeded)


def standings(census: Census) -> Standings:
    """Return how all that exists stands to the limits of the policy that are in force."""
    census.index.promise(census.policy.promised(census.now))
    in_force: dict[tuple[Account, str], LimitsInForce] = {}
    above: dict[Limit, AboveCap] = {}
    for each in census.objects():
        pair = (each.row.account, each.key.namespace)
        if pair not in in_force:
            in_force[pair] = _resolve(census, *pair)
        for cap in in_force[pair].caps:
            _compare(above, cap, each)
    return Standings(_usage(census), _limits(census, in_force.values()), tuple(sorted(above.values(), key=_cap_order)))


def over_more(now: Standings, then: Standings) -> tuple[Standing, ...]:
    """Return the limits on sums that are exceeded *then*, with more than is used *now*."""
    used = {each.limit: each.used for each in now.limits}
    return tuple(each for each in then.over if each.used > used.get(each.limit, 0))


def _resolve(census: Census, account: Account, namespace: str) -> LimitsInForce:
    labels = census.labels_of(namespace)
    return resolve_limits(census.policy, account, namespace=namespace, labels=labels, now=census.now)


def _usage(census: Census) -> tuple[SubjectUsage, ...]:
    index = census.index
    names = {name for each in census.objects() for name, _ in each.amounts}
    return tuple(
        SubjectUsage(subject, tuple((name, used) for name in sorted(names) if (used := index.used(subject, name))))
        for subject in sorted(index.subjects())
    )


def _limits(census: Census, in_force: Iterable[LimitsInForce]) -> tuple[Standing, ...]:
    limits = {limit for each in in_force for limit in each.sums}
    found = (Standing(limit, census.index.used(limit.subject, limit.resource)) for limit in limits)
    return tuple(sorted(found, key=_standing_order))


def _standing_order(each: Standing) -> tuple[object, ...]:
    """Order by what hurts: exceeded and enforced, exceeded, the least room; a limit of 0 that is kept comes last."""
    limit, mode = each.limit, list(Mode).index(each.limit.mode)
    part = Fraction(each.used) / limit.hard if limit.hard else Fraction(0)
    severity = (0, mode) if each.over else (1, 0)
    return (*severity, -part, limit.subject, limit.resource, limit.hard, limit.entry, mode)


def _compare(above: dict[Limit, AboveCap], cap: Limit, each: CountedObject) -> None:
    if cap.cap not in each.caps:
        return
    amount = dict(each.capped).get(cap.resource, 0)
    if amount <= cap.hard:
        return
    known = above.get(cap)
    if known is None:
        above[cap] = AboveCap(cap, 1, amount, each.key)
        return
    largest = min((-known.largest, known.largest_object), (-amount, each.key))
    above[cap] = AboveCap(cap, known.count + 1, -largest[0], largest[1])


def _cap_order(each: AboveCap) -> tuple[object, ...]:
    limit = each.limit
    return (list(Mode).index(limit.mode), -each.count, limit.entry, limit.resource, limit.hard)
