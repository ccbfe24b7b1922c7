"""
What brokers and admins do with commitments: split, merge, convert, move, offer, renew and confirm them.

Each change makes new commitments of those that there are, all of it or nothing. Whether nodes have what they promise is
judged afterwards, with the edit of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from typing import TypeAlias

from webhook.quota.commitments import FINAL, FOLLOWING, Commitment, Pool, State, add_amounts
from webhook.quota.errors import WebhookError
from webhook.quota.periods import Period
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amount, show
from webhook.quota.subject import Subject
from webhook.quota.transfer_offer import TransferOffer

ByName: TypeAlias = Mapping[str, Commitment]
"""Commitments by name."""

Given: TypeAlias = Mapping[str, Amount]
"""Amounts in billionths, by canonical names."""

Worth: TypeAlias = Callable[[str], Mapping[str, int]]
"""Returns what one of each resource is worth in a class of nodes, against the same resource of other classes."""


class ChangeError(WebhookError):
    """A change that cannot be made; one line that names the commitment and says why."""


def create(known: ByName, new: Commitment) -> dict[str, Commitment]:
    """Return *known* with a *new* one. Raises: ChangeError."""
    _check_free(known, new.name)
    return {**known, new.name: new}


def delete(known: ByName, name: str) -> dict[str, Commitment]:
    """Return *known* without one of them, be it over or not. Raises: ChangeError."""
    _one(known, name)
    return {other: each for other, each in known.items() if other != name}


def split(known: ByName, name: str, parts: Mapping[str, Given], now: datetime) -> dict[str, Commitment]:
    """
    Return *known* with the *parts* taken out of one of them, by their new names; it keeps what is left.

    Nothing is promised more or less by it. Raises: ChangeError.
    """
    changed = dict(known)
    for part, amounts in parts.items():
        changed = _take(changed, name, part, amounts, now)
    return changed


def merge(known: ByName, names: Collection[str], into: str, now: datetime) -> dict[str, Commitment]:
    """
    Return *known* with all of *names* as one: it ends when the last of them would have ended.

    They have one holder, one pool and one state. Those that have not begun must begin at the same time; of those that
    have, the latest counts. Raises: ChangeError.
    """
    ordered = [_to_change(known, name, now) for name in dict.fromkeys(names)]
    if len(ordered) < 2:
        raise ChangeError("expected two commitments or more to merge")
    first = ordered[0]
    for each in ordered[1:]:
        for what, one, other in (
            ("holder", first.holder, each.holder),
            ("pool", first.pool, each.pool),
            ("state", first.state_at(now).value, each.state_at(now).value),
        ):
            if one != other:
                raise ChangeError(f"{first.name} and {each.name} differ in their {what}: {one} and {other}")
    begins = {each.begins for each in ordered}
    if len(begins) > 1 and any(not _has_begun(each, now) for each in ordered):
        raise ChangeError(f"{', '.join(each.name for each in ordered)} do not begin at the same time")
    amounts: dict[str, Amount] = {}
    for each in ordered:
        add_amounts(amounts, each.amounts)
    latest = max((each for each in begins if each is not None), default=None)
    ends = None if any(each.ends is None for each in ordered) else max(each.ends for each in ordered if each.ends)
    whole = replace(first, name=into, amounts=amounts, begins=latest, ends=ends, place="")
    kept = _without(known, [each.name for each in ordered], now)
    _check_free(kept, into)
    return {**kept, into: whole}


def move(
    known: ByName, name: str, holder: Subject, now: datetime, *, part: tuple[str, Given] | None = None
) -> dict[str, Commitment]:
    """
    Return *known* with one of them, or the *part* with a name and amounts of its own, promised to *holder* instead.

    If it was offered, it no longer is: the new holder has not offered it. Raises: ChangeError.
    """
    moved, known = _part(known, name, part, now)
    found = _ongoing(known, moved, now)
    if found.holder == holder:
        raise ChangeError(f"{name} is of {holder} already")
    return {**known, moved: replace(found, holder=holder, offer=None, place="")}


def offer(
    known: ByName, name: str, made: TransferOffer, now: datetime, *, part: tuple[str, Given] | None = None
) -> dict[str, Commitment]:
    """
    Return *known* with one of them, or the *part* with a name and amounts of its own, offered as it is *made*.

    It still covers its holder. Raises: ChangeError.
    """
    if not made.is_in_force(now):
        raise ChangeError(f"an offer {made} would be over already")
    offered, known = _part(known, name, part, now)
    return {**known, offered: replace(_to_change(known, offered, now), offer=made, place="")}


def withdraw_offer(known: ByName, name: str) -> dict[str, Commitment]:
    """Return *known* with one of them offered no longer. Raises: ChangeError."""
    found = _one(known, name)
    if found.offer is None:
        raise ChangeError(f"{name} is not offered")
    return {**known, name: replace(found, offer=None, place="")}


def accept(known: ByName, token: str, holder: Subject, now: datetime) -> dict[str, Commitment]:
    """Return *known* with the one that is offered by *token* promised to *holder* instead. Raises: ChangeError."""
    for name, each in known.items():
        if each.offer is not None and each.offer.is_of(token):
            if not each.offer.is_in_force(now):
                raise ChangeError(f"{name} was offered {each.offer}: the offer is over")
            return move(known, name, holder, now)
    raise ChangeError("nothing is offered by this token: it is another one, or was accepted or withdrawn")


def convert(  # noqa: PLR0913 - what is converted, into what, and at what rate
    known: ByName, name: str, pool: Pool, worth: Worth, now: datetime, *, into: str, amounts: Given | None = None
) -> dict[str, Commitment]:
    """
    Return *known* with one of them, or only *amounts* of it, exchanged for a new one: *into*, of the class of *pool*.

    Amounts change by what a resource is worth in both classes. They have to come out whole. Raises: ChangeError.
    """
    found = _to_change(known, name, now)
    given = found.amounts if amounts is None else amounts
    here, there = worth(found.pool.node_class), worth(pool.node_class)
    gained: dict[str, Amount] = {}
    for resource, amount in given.items():
        missing = next((each for each, its in ((found.pool, here), (pool, there)) if not its.get(resource)), None)
        if missing is not None:
            raise ChangeError(
                f"{name}: {resource} cannot be converted: nodeClasses.{missing.node_class}.worth does not name it"
            )
        exchanged = Fraction(amount) * here[resource] / there[resource]
        if (exchanged / NANOS).denominator != 1:
            raise ChangeError(
                f"{name}: {show(resource, amount)} {resource} of {found.pool.node_class} are no whole number of "
                f"{pool.node_class}: one of them is worth {here[resource]}, one of these {there[resource]}"
            )
        gained[resource] = int(exchanged)
    is_all = dict(given) == dict(found.amounts)
    rest = _without(known, [name], now) if is_all else {**known, name: _rest(found, given)}
    _check_free(known, into)
    return {**rest, into: replace(found, name=into, pool=pool, amounts=gained, place="")}


def renew(known: ByName, name: str, into: str, period: Period | None, now: datetime) -> dict[str, Commitment]:
    """
    Return *known* with a new one that begins when one of them ends, guaranteed from now on.

    It ends after *period*, never without one. Raises: ChangeError, PeriodError.
    """
    found = _ongoing(known, name, now)
    if found.ends is None:
        raise ChangeError(f"{name} has no end: there is nothing to renew")
    if found.state_at(now) not in (State.CONFIRMED, State.GUARANTEED):
        raise ChangeError(f"{name} is {found.state_at(now).value}: only what is in force or guaranteed is renewed")
    _check_free(known, into)
    ends = None if period is None else period.after(found.ends)
    return {
        **known,
        into: replace(found, name=into, state=State.GUARANTEED, begins=found.ends, ends=ends, offer=None, place=""),
    }


def confirm(known: ByName, name: str, now: datetime) -> dict[str, Commitment]:
    """Return *known* with one of them in force from *now* on. Raises: ChangeError."""
    found = _ongoing(known, name, now)
    state = found.state_at(now)
    if State.CONFIRMED not in FOLLOWING[state]:
        raise ChangeError(f"{name} is {state.value} already")
    begins = found.begins if found.begins is not None and found.begins > now else None
    return {**known, name: replace(found, state=State.CONFIRMED, begins=begins or now, place="")}


def waiting(known: ByName, now: datetime) -> Iterator[tuple[Pool, list[str]]]:
    """
    Yield for each pool those that wait for capacity, in the order in which they are served.

    Who was to begin first comes first, then by name. One that finds no room holds back those behind it: otherwise small
    ones would overtake a large one for ever.
    """
    pending = [each for each in known.values() if each.state_at(now) is State.PENDING]
    pending.sort(key=lambda each: (each.pool, each.begin_key, each.name))
    for pool, listed in groupby(pending, key=lambda each: each.pool):
        yield pool, [each.name for each in listed]


def next_to_end(known: ByName, now: datetime) -> Commitment | None:
    """Return which of those that set something aside ends first, None if none does."""
    ending = [(each.ends, each.name) for each in known.values() if each.ends is not None and each.sets_aside(now)]
    return known[min(ending)[1]] if ending else None


def _one(known: ByName, name: str) -> Commitment:
    found = known.get(name)
    if found is None:
        raise ChangeError(f"there is no commitment {name}")
    return found


def _ongoing(known: ByName, name: str, now: datetime) -> Commitment:
    found = _one(known, name)
    state = found.state_at(now)
    if state in FINAL:
        raise ChangeError(f"{name} is {state.value}: it is over")
    return found


def _to_change(known: ByName, name: str, now: datetime) -> Commitment:
    """Return one that is not offered, without an offer that is over: the token is good for what it was made for."""
    found = _ongoing(known, name, now)
    if found.offer is not None and found.offer.is_in_force(now):
        raise ChangeError(f"{name} is offered {found.offer}: withdraw the offer first")
    return replace(found, offer=None)


def _has_begun(each: Commitment, now: datetime) -> bool:
    return each.begins is None or each.begins <= now


def _check_free(known: ByName, name: str) -> None:
    if name in known:
        raise ChangeError(f"there is a commitment {name} already, or was one: choose another name")


def _without(known: ByName, names: Collection[str], now: datetime) -> dict[str, Commitment]:
    """Return *known* without *names*: those that had begun stay as a record, superseded by now."""
    kept = dict(known)
    for name in names:
        each = kept.pop(name)
        if each.state_at(now) is State.CONFIRMED and (each.begins is None or each.begins < now):
            kept[name] = replace(each, state=State.SUPERSEDED, ends=now, offer=None, place="")
    return kept


def _part(known: ByName, name: str, part: tuple[str, Given] | None, now: datetime) -> tuple[str, ByName]:
    """Return the name of the *part*, and *known* with it taken out; the whole one without a part."""
    if part is None:
        return name, known
    taken, amounts = part
    return taken, _take(known, name, taken, amounts, now)


def _take(known: ByName, name: str, part: str, amounts: Given, now: datetime) -> dict[str, Commitment]:
    """Return *known* with *amounts* of one of them as a commitment of its own, called *part*."""
    found = _to_change(known, name, now)
    _check_free(known, part)
    taken = replace(found, name=part, amounts=dict(amounts), place="")
    return {**known, name: _rest(found, amounts), part: taken}


def _rest(whole: Commitment, amounts: Given) -> Commitment:
    """Return what is left of *whole* without *amounts*."""
    rest = dict(whole.amounts)
    for resource, amount in amounts.items():
        if amount <= 0:
            raise ChangeError(f"{whole.name}: {resource}: expected an amount above 0")
        has = rest.get(resource, 0)
        if amount > has:
            wanted = show(resource, amount)
            raise ChangeError(f"{whole.name} has {show(resource, has)} {resource}, and {wanted} are to be taken out")
        rest[resource] = has - amount
    rest = {resource: amount for resource, amount in rest.items() if amount}
    if not amounts or not rest:
        raise ChangeError(f"{whole.name}: expected a part of it, not {'all' if amounts else 'nothing'}")
    return replace(whole, amounts=rest, place="")
