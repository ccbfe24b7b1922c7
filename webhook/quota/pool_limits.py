"""
All limits that bind one object: those of the policy, those of which parts are guaranteed, those on what is used on
demand, those that the capacity of nodes sets where a part of it was promised to somebody, and the shapes that pods have
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from msgspec import structs

from webhook.quota import scopes
from webhook.quota.commitments import Place, Pool, beyond_commitments
from webhook.quota.guarantees import Guarantees, on_demand_in
from webhook.quota.limits import ONE_OBJECT, Limit, LimitsInForce, PoolLimit, ShapeLimit, resolve_limits
from webhook.quota.policy import Policy
from webhook.quota.resources import Amount
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Account, Subject, scoped, selector_of, unscoped

_SHAPE = "shape"
"""The cap of a shape, by the field of the policy."""

_NOTHING: Mapping[str, Amount] = {}


class Capacity(Protocol):
    """What nodes have."""

    def of(self, pool: Pool) -> Mapping[str, Amount] | None:
        """
        Return what the nodes of *pool* have for pods, by canonical names; nothing for a pool without nodes. None where
        there are no nodes to ask, as without a cluster: then nothing is compared with them.

        Raises: UnavailableError while that is not known.
        """


class NoNodes:
    """Port `Capacity` without a cluster."""

    def of(self, pool: Pool) -> Mapping[str, Amount] | None:  # noqa: ARG002
        """Return None: there are no nodes to ask."""
        return None


def limits_in_force(  # noqa: PLR0913 - what decides the limits
    policy: Policy,
    account: Account,
    *,
    namespace: str,
    labels: Mapping[str, str],
    now: datetime,
    capacity: Capacity,
) -> LimitsInForce:
    """
    Return all limits that bind an object of *account* in *namespace*, which carries *labels*, at *now*.

    Those of `resolve_limits` come first, then those of them of which a part is guaranteed, then those that *capacity*
    sets. These are on the resources of which anything was promised in the class; of all others what nodes have is a
    matter of the scheduler. A limit on what somebody uses on demand binds what counts for that one, and nothing that
    was promised to another holder.
    Raises: UnavailableError.
    """
    in_force = resolve_limits(policy, account, namespace=namespace, labels=labels, now=now)
    if policy.shapes:
        in_force = structs.replace(in_force, shapes=tuple(_shapes(policy, account.scopes)))
    commitments = policy.commitments
    if not (commitments or policy.guarantees):
        return in_force
    holders = policy.holders_of(account.payer, namespace, labels)
    promised = policy.promised(now)
    found = [_envelope(policy.guarantees, limit, holders) for limit in _shared(policy.guarantees, in_force.sums)]
    sums = in_force.sums
    for place in commitments.places_of(account.scopes, holders):
        cover = promised.covers.get(place.holder) if place.holder is not None else None
        amounts = _NOTHING if cover is None else cover.amounts
        if place.node_class in commitments.limited_on_demand:
            found += _on_demand(sums, place, amounts)
            sums = tuple(each for each in sums if not _is_on_demand(each, place))
        for pool in place.pools:
            has = capacity.of(pool)
            if has is None:
                continue
            limits, on_demand = _limits_of(policy, pool, has)
            found += [PoolLimit(each, on_demand, place.holder, amounts.get(each.resource, 0)) for each in limits]
    return structs.replace(in_force, sums=sums, pools=tuple(found), promised=promised)


def _is_on_demand(limit: Limit, place: Place) -> bool:
    """Whether *limit* is on what is used on demand in the class of *place*."""
    return selector_of(limit.subject) == str(beyond_commitments(place.node_class))


def _on_demand(sums: Iterable[Limit], place: Place, amounts: Mapping[str, Amount]) -> Iterator[PoolLimit]:
    """Yield those of *sums* on demand that bind an object at *place*, where *amounts* cover its holder."""
    for each in sums:
        whose = place.pools[0].held_by(unscoped(each.subject))
        if _is_on_demand(each, place) and place.holder in (None, whose):
            yield PoolLimit(each, each.subject, place.holder, amounts.get(each.resource, 0), is_on_demand=True)


def _shapes(policy: Policy, objects_scopes: Scopes) -> Iterator[ShapeLimit]:
    for name in scopes.values_of(scopes.NODE_CLASS, objects_scopes):
        if (shape := policy.shapes.get(name)) is not None:
            entry = policy.class_entry(name)
            whom = scoped(ONE_OBJECT, Pool(name).selector)
            limit = Limit(whom, "", 0, entry.path, entry.place, entry.mode, _SHAPE, hint=entry.hint)
            yield ShapeLimit(limit, name, shape)


def _shared(guarantees: Guarantees, sums: Iterable[Limit]) -> Iterator[Limit]:
    """Yield those of *sums* of which a part is guaranteed."""
    if guarantees:
        yield from (each for each in sums if guarantees.sets_aside(each.subject, each.resource))


def _envelope(guarantees: Guarantees, limit: Limit, holders: Iterable[Subject]) -> PoolLimit:
    held = guarantees.holder_in(limit.subject, holders)
    amount = 0 if held is None else guarantees.amount_of(held, limit.resource)
    return PoolLimit(limit, on_demand_in(limit.subject), held, amount, is_envelope=True)


def _limits_of(policy: Policy, pool: Pool, has: Mapping[str, Amount]) -> tuple[tuple[Limit, ...], Subject]:
    """
    Return the limits that a pool which *has* these amounts sets, and the subject of what nothing covers there: the same
    until nodes change.
    """
    known = policy.limits_cache.get(pool)
    if isinstance(known, _Cached) and known.has is has:
        return known.limits, known.on_demand
    usable = policy.terms_of(pool.node_class).usable(has)
    entry = policy.class_entry(pool.node_class)
    path = f"{entry.path}[{pool.zone}]" if pool.zone else entry.path
    limits = tuple(
        Limit(
            pool.subject,
            name,
            usable.get(name, 0),
            path,
            entry.place,
            entry.mode,
            hint=entry.hint,
            about=policy.catalogue.get(name),
        )
        for name in sorted(policy.commitments.resources_of(pool.node_class))
    )
    policy.limits_cache[pool] = _Cached(has, limits, pool.on_demand)
    return limits, pool.on_demand


class _Cached(NamedTuple):
    has: Mapping[str, Amount]
    limits: tuple[Limit, ...]
    on_demand: Subject
