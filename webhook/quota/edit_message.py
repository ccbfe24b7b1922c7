"""
The texts on what an edit of the policy does: a refusal, warnings, and a line for Events. Text only, no decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from webhook.quota.commitments import Commitment
from webhook.quota.edits import Effect, Overrun
from webhook.quota.lifted import Lifted
from webhook.quota.policy_changes import ChangedNames
from webhook.quota.promises import Unkept
from webhook.quota.resources import show
from webhook.quota.windows import written

T = TypeVar("T")

LONGEST_WARNING = 256
"""Bytes of one warning that every client shows; the API server passes on 4096 of all together."""

_MOST_OVERRUNS = 6
_MOST_WARNED = 3
_MOST_NOTES = 3
_MOST_LIFTED = 4
_MOST_REFUSED = 10
_MOST_CHANGED = 3

_OF_PEOPLE = ("defaults.user", "resources.", "rules.", "users.")
"""How the entries begin whose limits an own entry of a person replaces."""

_WHAT_FOLLOWS = "what runs there stays, and nothing more is admitted until it fits"


def refusal(effect: Effect) -> str:
    """
    Return why an edit is refused, in one line: the limits that it would leave below what is allocated, what is promised
    and cannot be kept, and what commitments must not change.
    """
    told = [_below_use(effect.overruns)] if effect.overruns else []
    unkept = [each for each in effect.unkept if each.is_refused]
    if unkept:
        listed = "; ".join([*map(_unkept, unkept[:_MOST_REFUSED]), *_more(len(unkept), _MOST_REFUSED)])
        told.append(f"more would be promised than nodes have: {listed}")
    told += [_illegal(*each) for each in effect.illegal[:_MOST_REFUSED]]
    return ". ".join(told)


def until_a_date(effect: Effect) -> str:
    """Return how those people whom *effect* puts over a limit may keep it for a while; empty where they cannot."""
    if not any(each.limit.entry.startswith(_OF_PEOPLE) for each in effect.overruns):
        return ""
    return (
        ". To let people keep what they have until a date, give each an entry under users with until in the same edit"
    )


def _below_use(overruns: Sequence[Overrun]) -> str:
    count = len(overruns)
    what = "a limit would be" if count == 1 else f"{count} limits would be"
    listed = "; ".join([*map(_overrun, overruns[:_MOST_REFUSED]), *_more(count, _MOST_REFUSED)])
    return f"{what} below what is used: {listed}. With it {_WHAT_FOLLOWS}"


def warnings(effect: Effect, notes: Sequence[str] = ()) -> list[str]:
    """
    Return what an accepted edit does, the most important first, for Warning headers; at most 22 of 256 bytes. *notes*
    say what in it is surely not meant.
    """
    told = _first(effect.overruns, _MOST_OVERRUNS, lambda each: f"over a limit: {_overrun(each)}")
    if effect.overruns:
        told.insert(0, f"{len(effect.overruns)} below what is used: {_WHAT_FOLLOWS}")
    told += _first(effect.unkept, _MOST_OVERRUNS, lambda each: f"more is promised than nodes have: {_unkept(each)}")
    told += _first(effect.illegal, _MOST_WARNED, lambda each: _illegal(*each))
    told += _first(effect.lifted, _MOST_LIFTED, _lifted)
    if effect.exempted:
        told.append(f"no limit refuses from now on: {', '.join(str(each) for each in effect.exempted)}")
    told += _first(notes, _MOST_NOTES, str)
    told += _first(effect.warned, _MOST_WARNED, lambda each: f"over a limit that only warns: {_overrun(each)}")
    if effect.uncompared:
        names = ", ".join(effect.uncompared)
        told.append(f"not compared with what exists, as it is counted only under this policy: {names}")
    return [shortened(each, LONGEST_WARNING) for each in told]


def summary(effect: Effect) -> str:
    """Return the first things that an edit leaves above a limit or breaks, for an Event or the audit log."""
    told = [*map(_overrun, effect.overruns), *map(_unkept, effect.unkept)]
    told += [_illegal(*each) for each in effect.illegal]
    return "; ".join([*told[:_MOST_OVERRUNS], *_more(len(told), _MOST_OVERRUNS)])


def changed(names: ChangedNames) -> str:
    """Return what an edit adds, changes and removes, as numbers with the first names: for an Event or the audit log."""
    told = [
        *_counted("entry", "entries", "added", names.added),
        *_counted("entry", "entries", "changed", names.changed),
        *_counted("entry", "entries", "removed", names.removed),
        *_counted("other setting", "other settings", "changed", names.settings),
    ]
    return ", ".join(told) or "no entry or other setting changed"


def _counted(one: str, many: str, word: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        what = one if len(names) == 1 else many
        yield f"{len(names)} {what} {word} ({', '.join([*names[:_MOST_CHANGED], *_more(len(names), _MOST_CHANGED)])})"


def shortened(text: str, longest: int) -> str:
    """Return *text* on one line, cut to *longest* bytes of UTF-8."""
    line = "".join(each if each.isprintable() else "?" for each in text)
    if len(line.encode()) <= longest:
        return line
    return line.encode()[: longest - 3].decode(errors="ignore") + "..."


def _first(items: Sequence[T], most: int, text: Callable[[T], str]) -> list[str]:
    return [*map(text, items[:most]), *_more(len(items), most)]


def _more(count: int, most: int) -> Iterator[str]:
    if count > most:
        yield f"and {count - most} more"


def _overrun(each: Overrun) -> str:
    limit = each.limit
    name, entry = limit.resource, f"{limit.entry} at {limit.place}" if limit.place else limit.entry
    allocated, hard, over = map(limit.shown, (each.allocated, limit.hard, each.over))
    what = f"used, reserved or guaranteed ({limit.shown(each.set_aside)})" if each.set_aside else "used or reserved"
    return f"{limit.subject}: {name} {allocated} {what}, {hard} by {entry}, {over} too much"


def _unkept(each: Unkept) -> str:
    name, since = each.resource, written(each.first_at.replace(microsecond=0))
    taken, has, over = (show(name, amount) for amount in (each.taken, each.has, each.over))
    if each.share is not None:
        share = f"{each.share * 100}%"
        return f"{each.pool}: {name} {taken} promised from {since} on, {has} may be ({share}), {over} too much"
    return f"{each.pool}: {name} {taken} used or promised from {since} on, {has} there, {over} too much"


def _illegal(commitment: Commitment, why: str) -> str:
    return f"commitments.{commitment.name} at {commitment.place}: {why}"


def _lifted(each: Lifted) -> str:
    amount = f"{each.resource}={show(each.resource, each.hard, each.form)}"
    if each.entry == each.whom or each.entry.startswith(f"{each.whom}."):
        return f"lifted: {each.entry} limits {amount} no more, and nothing in its place does"
    return f"lifted: {each.whom} had {amount} by {each.entry}, and has no limit of it any more"
