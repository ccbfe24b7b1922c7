"""
The room in a pool of nodes, or in an envelope, of which a part was promised to somebody, and under a limit on what is
used on demand.

`commitments` has the words, `guarantees` says what an envelope is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from webhook.quota.commitments import InForce
from webhook.quota.expected import PodSet
from webhook.quota.limits import PoolLimit
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount
from webhook.quota.subject import Subject
from webhook.quota.usage import UsageView, used_by_each


class OnDemand(NamedTuple):
    """
    How much of a pool of nodes, or of an envelope, there is for use on demand, and of what else a holder may use. Of a
    limit on what somebody uses on demand (`is_limit`): how much of it is used.
    """

    set_aside: Amount
    """What is promised and not used."""
    used: Amount
    """What is used on demand, of `total`."""
    total: Amount
    """What there is beside all that is promised."""
    committed: Amount
    """What was promised to the holder of the object."""
    in_use: Amount
    """What is used of `committed`."""
    ends: datetime | None = None
    """When the first commitment ends that sets anything aside for another holder; None if not known, or far away."""
    is_envelope: bool = False
    is_limit: bool = False


def taken(each: PoolLimit, view: UsageView) -> Amount:
    """
    Return what is taken of a pool: what each holder uses or was promised, whichever is more, what is set aside for
    later, and what all others use. Of a limit on what is used on demand it is what nothing covers.
    """
    pool, name = each.limit.subject, each.limit.resource
    if each.is_on_demand:
        return view.allocated(pool, name)
    return used_by_each(view, pool, each.on_demand, name) + view.set_aside(pool, name)


def room_in_pool(
    each: PoolLimit, keys: Collection[ObjectKey], view: UsageView, pod_sets: Iterable[PodSet] = ()
) -> Amount:
    """
    Return the most that the objects *keys*, all of one holder, may have together: what the holder's other objects leave
    of its promise, and what is free on demand. What is held for pods of *pod_sets* is held for them.
    """
    name, sets = each.limit.resource, tuple(pod_sets)
    by_others = taken(each, view) - _own(keys, sets, view, each.on_demand, name)
    if each.holder is None:
        return max(each.limit.hard - by_others, 0)
    of_holder = view.allocated(each.holder, name)
    own = _own(keys, sets, view, each.holder, name)
    if each.is_on_demand:
        elsewhere = by_others - max(of_holder - each.committed, 0)
        return max(each.committed + max(each.limit.hard - elsewhere, 0) - (of_holder - own), 0)
    unused = max(each.committed - of_holder, 0)
    covered = max(each.committed - (of_holder - own), 0)
    # If the objects were not there, all of `covered` would be set aside.
    return covered + max(each.limit.hard - (by_others - own - unused + covered), 0)


def _own(
    keys: Collection[ObjectKey], pod_sets: Sequence[PodSet], view: UsageView, subject: Subject, name: str
) -> Amount:
    return sum(view.held(key, subject, name) for key in keys) + view.held_for_pods(pod_sets, subject, name)


def on_demand(each: PoolLimit, in_force: InForce, view: UsageView) -> OnDemand:
    """Return what is left of a pool beside what was promised."""
    pool, name = each.limit.subject, each.limit.resource
    in_use = min(each.committed, view.allocated(each.holder, name)) if each.holder is not None else 0
    if each.is_on_demand:
        return OnDemand(0, taken(each, view), each.limit.hard, each.committed, in_use, is_limit=True)
    set_aside, promised = view.set_aside(pool, name), view.promised(pool, name)
    used = view.allocated(pool, name) + set_aside - promised  # all that is taken, less what is promised
    ends = _first_end(each, in_force, view)
    return OnDemand(set_aside, used, max(each.limit.hard - promised, 0), each.committed, in_use, ends, each.is_envelope)


def _first_end(each: PoolLimit, in_force: InForce, view: UsageView) -> datetime | None:
    name = each.limit.resource
    for ending in in_force.endings.get(each.limit.subject, ()):
        amount = in_force.covers[ending.holder].amounts.get(name, 0)
        if ending.holder != each.holder and amount > view.allocated(ending.holder, name):
            return ending.at
    return None
