"""
Limits that end soon, and lower ones that hold from then on: people are told before, when they create something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeGuard

from webhook.quota.catalogue import form_of
from webhook.quota.limits import Layer, Rule, layers_of
from webhook.quota.notices import BEFORE_END
from webhook.quota.policy import Hard, Mode, Policy, Unlimited
from webhook.quota.quantity import Format
from webhook.quota.reservation import Charge
from webhook.quota.resources import Amount
from webhook.quota.scopes import Selector

_DAY = timedelta(days=1)

_INSTANT = timedelta(microseconds=1)


class EndingLimit(NamedTuple):
    """A limit of *entry* that ends at `until`, and the lower one that holds `after` it. `form` is as in `Limit`."""

    entry: str
    resource: str
    hard: Hard
    after: Amount
    until: datetime
    form: Format | None = None


def ending_limit(policy: Policy, charge: Charge, *, labels: Mapping[str, str], now: datetime) -> EndingLimit | None:
    """
    Return the limit on what *charge* costs that ends first, if that is to be told at *now*; None without one.

    It has to be told seven days and one day before its end, if a lower one takes its place. A limit that is only for
    the audit log is told to nobody. Windows do not count. *labels* are those of the namespace.
    """
    if not policy.changes_with_time:
        return None

    def at(moment: datetime) -> list[Layer]:
        return layers_of(
            policy, charge.payer, namespace=charge.key.namespace, labels=labels, now=moment, in_windows=False
        )

    entries = (each for layer in at(now) for entry in layer.entries for each in (entry, *entry.scoped))
    ends = sorted({each.until for each in entries if each.until is not None and _is_told(each.until - now)})
    selectors = policy.selecting(charge.scopes)
    for end in ends:
        before = end - _INSTANT
        were, are = (dict(_rules(at(each), charge, selectors, each)) for each in (before, end))
        for what, rule in were.items():
            after = are.get(what)
            if after is not None and after.entry.mode is not Mode.AUDIT and _is_less(after.hard, rule.hard):
                form = form_of(policy.catalogue, what.resource)
                return EndingLimit(rule.path, what.resource, rule.hard, after.hard, end, form)
    return None


def _is_told(left: timedelta) -> bool:
    return any(before - _DAY < left <= before for before in BEFORE_END)


class _What(NamedTuple):
    """What a rule is on: the layer, what is selected, the cap on one object, and the resource."""

    layer: str
    selector: Selector | None
    cap: str | None
    resource: str


def _rules(
    layers: Sequence[Layer], charge: Charge, selectors: Sequence[Selector], now: datetime
) -> Iterator[tuple[_What, Rule]]:
    """Yield what *layers* say of what *charge* costs: of sums, of sums of what is selected, and of one object."""
    summed, capped = ([name for name, amount in amounts if amount > 0] for amounts in (charge.compared, charge.capped))
    asked: list[tuple[str | None, Selector | None, list[str]]] = [(None, None, summed)]
    asked += ((None, each, summed) for each in selectors)
    asked += ((cap, None, capped) for cap in charge.caps if cap is not None)
    for cap, selector, names in asked:
        for layer in layers:
            rules = layer.rules(cap, selector, now)
            yield from ((_What(layer.name, selector, cap, name), rules[name]) for name in names if name in rules)


def _is_less(hard: Hard, other: Hard) -> TypeGuard[Amount]:
    return not isinstance(hard, Unlimited) and (isinstance(other, Unlimited) or hard < other)
