"""
Commitments taken over from another system that keeps them: what changes here, what is left out, and why.

Nothing is released because that system is silent: what it does not list any more stays, and is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from webhook.quota.commitments import FINAL, Commitment, State

RETENTION = timedelta(days=30)
"""How long what is over stays as a record."""


@dataclass(frozen=True, slots=True)
class Synced:
    """
    The commitments after a change, and by name what was `left_out` and why.

    `created` and `changed` are those that the other system has brought, `missing` those that it does not list any more,
    which stay, and `dropped` those that were over for long.
    """

    commitments: Mapping[str, Commitment]
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def sync(
    known: Mapping[str, Commitment],
    listed: Mapping[str, Commitment],
    now: datetime,
    *,
    held_back: Collection[str] = (),
) -> Synced:
    """
    Return *known* with what is *listed*, entry by entry; what cannot be taken over is left out and leaves the rest.

    An entry keeps its class and zone, and its state follows the former one. One that is offered stays so, unless its
    holder or amounts change. What is over changes one that is known, and makes none. A list with nothing in it changes
    nothing. *held_back* are names that stay as they are for another reason.
    """
    result = dict(known)
    created, changed, left_out = [], [], {}
    for name, each in sorted(listed.items()):
        was = known.get(name)
        will = replace(each, place="").with_offer_of(was)
        if name in held_back or (was is not None and replace(was, place="") == will):
            continue
        if was is None:
            if will.state_at(now) in FINAL:
                continue
            result[name] = will
            created.append(name)
        elif why := _why_not(was, will, now):
            left_out[name] = why
        else:
            result[name] = will
            changed.append(name)
    missing = [name for name, each in result.items() if name not in listed and each.state_at(now) not in FINAL]
    dropped = [name for name, each in result.items() if listed and name not in listed and _is_long_over(each, now)]
    for name in dropped:
        del result[name]
    return Synced(result, tuple(created), tuple(changed), tuple(sorted(missing)), tuple(sorted(dropped)), left_out)


def _why_not(was: Commitment, will: Commitment, now: datetime) -> str:
    if was.pool != will.pool:
        return f"it is of {was.pool}, not of {will.pool}: class and zone stay as they are"
    if not was.may_become(will, now):
        return f"it is {was.state_at(now).value} here, which {will.state_at(now).value} cannot follow"
    return ""


def _is_long_over(each: Commitment, now: datetime) -> bool:
    is_over = each.state_at(now) in {State.EXPIRED, State.SUPERSEDED}
    return is_over and each.ends is not None and each.ends + RETENTION <= now
