"""
Whether an edit of the commitments can be kept: changes that no commitment may make, and more than nodes have.

What only covers use that exists makes the sum no larger, and so it can be promised even where nodes are full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from webhook.quota.capacity import NodeFacts, capacity_of
from webhook.quota.commitments import Commitment, Commitments, Pool, State
from webhook.quota.policy import Entry, Mode, Policy
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject
from webhook.quota.usage import UsageView, used_by_each

_Course = Sequence[tuple[datetime, Amount]]
"""A sum from each of these times on, until the next one."""


class MarkedEdit(NamedTuple):
    """
    An edit of the ConfigMap *name* that changes what is promised, and that is judged or may be stored.

    `base` is the version on which it is based, 0 if it makes the ConfigMap. Before it the ConfigMap was a part of the
    policy (`was_part`), or it becomes one by it.
    """

    name: str
    uid: str
    base: int
    was_part: bool


@dataclass(frozen=True, slots=True)
class Unkept:
    """
    More than the nodes of a pool have: `taken` is what is used or was promised, `first_at` when that is so first.

    `entry` is the class, and says by its mode whether such an edit is refused. With `share` only what is promised was
    compared, with that part of what nodes have.
    """

    pool: Pool
    resource: str
    taken: Amount
    has: Amount
    first_at: datetime
    entry: Entry
    share: Fraction | None = None

    @property
    def over(self) -> Amount:
        """Return how much is missing."""
        return self.taken - self.has

    @property
    def is_refused(self) -> bool:
        """Whether such an edit is refused."""
        return self.entry.mode is Mode.ENFORCE


def illegal_changes(before: Commitments, after: Commitments, now: datetime) -> Iterator[tuple[Commitment, str]]:
    """Yield the commitments that change what they must not, by their clocks at *now*, and what."""
    known = {each.name: each for each in before.every}
    offered = {each.offer.token_digest: each.holder for each in before.every if each.offer is not None}
    for each in after.every:
        giver = None if each.offer is None else offered.get(each.offer.token_digest)
        if giver not in (None, each.holder):
            yield each, f"{giver} offered it, and {each.holder} has not: take offer out where the holder changes"
        was = known.get(each.name)
        if was is None:
            continue
        state = was.state_at(now)
        if not was.may_become(each, now):
            yield each, f"it was {state.value}, which {each.state.value} cannot follow: make another one"
        elif was.pool != each.pool and state in (State.GUARANTEED, State.CONFIRMED):
            yield each, f"it is of {was.pool}: its class and zone stay as they are, make another one"


def is_more_promised(before: Commitments, after: Commitments) -> bool:
    """Whether *after* promises anything that *before* does not promise in the same words, wherever they stand."""
    return any(True for _ in _changed(before, after))


def is_promised_otherwise(before: Policy, after: Policy) -> bool:
    """Whether decisions in pools of nodes differ by *after*: anything else is promised, or pools are other ones."""
    if not (before.commitments or after.commitments):
        return False
    return _terms_of(before) != _terms_of(after)


def _terms_of(policy: Policy) -> tuple[object, ...]:
    modes = {name: entry.mode for name, entry in policy.class_entries.items()}
    return (_in_words(policy.commitments), policy.node_classes, policy.class_terms, modes, policy.devices)


def _changed(before: Commitments, after: Commitments) -> Iterator[Commitment]:
    """Yield the commitments of *after* that are not in *before* in the same words."""
    known = _in_words(before)
    return (each for name, each in _in_words(after).items() if known.get(name) != each)


def _in_words(commitments: Commitments) -> dict[str, Commitment]:
    """Return the commitments by name, wherever they stand and whether they are offered: that promises nothing."""
    return {each.name: replace(each, offer=None, place="") for each in commitments.every}


def holders_of_more(before: Commitments, after: Commitments) -> frozenset[Subject]:
    """
    Return those to whom *after* promises anything in other words than *before*, as the subjects of `Pool.held_by`.

    Of them it matters whether what they use exists: what only covers that may be promised where nodes are full.
    """
    return frozenset(pool.held_by(each.holder) for each in _changed(before, after) for pool in each.pool.around)


def unkept_promises(
    before: tuple[Policy, UsageView],
    after: tuple[Policy, UsageView],
    nodes: Sequence[NodeFacts],
    now: datetime,
    *,
    whatever_was: bool = False,
) -> Iterator[Unkept]:
    """
    Yield where more would be taken than *nodes* have, and more than *before* or *whatever_was*, from *now* on.

    Each policy comes with the usage as it is counted under it.
    """
    policy, usage = after
    has = capacity_of(nodes, policy.node_classes, policy.devices)
    for pool in policy.commitments.pools:
        entry, terms = policy.class_entry(pool.node_class), policy.terms_of(pool.node_class)
        usable = terms.usable(has.get(pool, {}))
        for name in sorted(policy.commitments.resources_of(pool.node_class)):
            there = usable.get(name, 0)
            # Where nothing was promised before, no sum of the pool is kept.
            former_use = usage.allocated(pool.subject, name)
            if pool in before[0].commitments.pools:
                former_use = used_by_each(before[1], pool.subject, pool.on_demand, name)
            was = _taken(before[0].commitments, pool, name, former_use, before[1], now)
            use = used_by_each(usage, pool.subject, pool.on_demand, name)
            will = _taken(policy.commitments, pool, name, use, usage, now)
            for moment, taken, former in _together(will, was):
                if taken > (there if whatever_was else max(there, former)):
                    yield Unkept(pool, name, taken, there, moment, entry)
                    break
            if terms.committable < 1:
                yield from _beyond_share(before[0].commitments, policy, pool, name, there, now)


def _beyond_share(  # noqa: PLR0913, PLR0917 - what is compared
    before: Commitments, policy: Policy, pool: Pool, name: str, there: Amount, now: datetime
) -> Iterator[Unkept]:
    """Yield when first more is promised than may be of what is *there*, and more than before."""
    share = policy.terms_of(pool.node_class).committable
    most = int(there * share)
    will, was = (_promised(each, pool, name, now) for each in (policy.commitments, before))
    for moment, promised, former in _together(will, was):
        if promised > max(most, former):
            yield Unkept(pool, name, promised, most, moment, policy.class_entry(pool.node_class), share)
            return


def _promised(commitments: Commitments, pool: Pool, name: str, now: datetime) -> _Course:
    """Return what is promised of *pool* from *now* on."""
    amounts = [
        (each.ends, each.amounts[name])
        for each, _ in commitments.within(pool)
        if each.sets_aside(now) and name in each.amounts
    ]
    total = sum(amount for _, amount in amounts)
    course = [(now, total)]
    for moment, amount in sorted((ends, amount) for ends, amount in amounts if ends is not None):
        total -= amount
        course.append((moment, total))
    return course


def _taken(  # noqa: PLR0913, PLR0917 - what the sum is made of
    commitments: Commitments, pool: Pool, name: str, used: Amount, usage: UsageView, now: datetime
) -> _Course:
    """Return what is taken of *pool* from *now* on if use stays as it is: *used* in all, by holders as in *usage*."""
    covers: defaultdict[Subject, Amount] = defaultdict(int)
    total = used
    events: list[tuple[datetime, Subject, Amount, Amount]] = []
    for each, holder in commitments.within(pool):
        amount = each.amounts.get(name, 0)
        if not amount or not each.sets_aside(now):
            continue
        if each.covers(now):
            covers[holder] += amount
        else:
            total += amount
            assert each.begins is not None  # noqa: S101 - otherwise it would cover
            events.append((each.begins, holder, amount, -amount))
        if each.ends is not None:
            events.append((each.ends, holder, -amount, 0))
    total += sum(_unused(covers[holder], usage, holder, name) for holder in covers)
    course = [(now, total)]
    for moment, changes in groupby(sorted(events, key=itemgetter(0)), key=itemgetter(0)):
        for _, holder, more, ahead in changes:
            total += ahead - _unused(covers[holder], usage, holder, name)
            covers[holder] += more
            total += _unused(covers[holder], usage, holder, name)
        course.append((moment, total))
    return course


def _unused(promised: Amount, usage: UsageView, holder: Subject, name: str) -> Amount:
    return max(promised - usage.allocated(holder, name), 0)


def _together(one: _Course, other: _Course) -> Iterator[tuple[datetime, Amount, Amount]]:
    """Yield the sums of both courses from each time on at which either changes."""
    first, second = dict(one), dict(other)
    here, there = one[0][1], other[0][1]
    for moment in sorted(first.keys() | second.keys()):
        here, there = first.get(moment, here), second.get(moment, there)
        yield moment, here, there
