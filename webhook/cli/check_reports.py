"""
What `userquota check` says: tables for people, a document for programs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from webhook.admission.verdicts import Left, Verdict
from webhook.cli.printing import show_document, show_table
from webhook.quota import message
from webhook.quota.fitting import Room
from webhook.quota.limits import Limit
from webhook.quota.policy import Mode
from webhook.quota.resources import Amount, show
from webhook.quota.rounding import at_least, at_most

if TYPE_CHECKING:
    from webhook.wiring.manifest_check import Check, Checked

_FITS, _DOES_NOT, _FREE, _UNREADABLE = "fits", "does not fit", "costs nothing", "cannot be read"
_BINDING = "<- the tightest"


def show_check(came: Check) -> None:
    """Print tables: the verdict on each object, the limits on each, what all would add, and what is left."""
    rows = [(*_named(each), _verdict(each), _largest(each)) for each in came.objects]
    show_table(("NAMESPACE", "KIND", "NAME", "VERDICT", "WOULD FIT"), rows)
    for each in came.objects:
        for text in _texts(each):
            click.echo(f"{each.written.kind} {each.written.name}: {text}")
    _section("limits", ("OBJECT", "LIMIT", "WHOM", "RESOURCE", "REQUESTED", "FREE", "OF", ""), _room_rows(came.objects))
    adds = [(name, at_least(name, amount)) for name, amount in sorted(_added(came.objects).items())]
    _section("all together", ("RESOURCE", "ADDS"), adds)
    left = [_left_row(each) for each in came.left]
    _section("left of each limit", ("LIMIT", "WHOM", "RESOURCE", "TAKEN", "FREE", "OF"), left)
    counts = Counter(_verdict(each) for each in came.objects)
    click.echo()
    click.echo(", ".join(f"{each}: {counts[each]}" for each in (_FITS, _DOES_NOT, _FREE, _UNREADABLE) if counts[each]))


def show_check_document(came: Check, output: str) -> None:
    """Print all of it as one document, with exact amounts."""
    document = {
        "fits": not any(_verdict(each) in (_DOES_NOT, _UNREADABLE) for each in came.objects),
        "items": [_item(each) for each in came.objects],
        "adds": {name: show(name, amount) for name, amount in sorted(_added(came.objects).items())},
        "limits": [
            {**_limit_item(each.limit), "taken": show(each.limit.resource, each.taken), "free": _free(each)}
            for each in came.left
        ],
        "notes": list(came.notes),
    }
    show_document(document, output)


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a title and *rows*; nothing without rows."""
    if listed := list(rows):
        click.echo(f"\n# {title}")
        show_table(heads, listed)


def _named(each: Checked) -> tuple[str, str, str]:
    return each.namespace, each.written.kind, each.written.name


def _verdict(each: Checked) -> str:
    if each.unreadable:
        return _UNREADABLE
    if each.verdict is None:
        return _FREE
    return _FITS if each.verdict.fits else _DOES_NOT


def _largest(each: Checked) -> str:
    if each.verdict is None:
        return ""
    workload = each.verdict.workload
    if workload is not None and workload.made.fits == 0:
        return f"0 {workload.noun}"
    return message.largest(each.verdict.rooms, None if workload is None else workload.noun) or "no limit refuses it"


def _texts(each: Checked) -> Iterator[str]:
    """Yield what is to say of an object beside its verdict."""
    yield from filter(None, (each.unreadable, each.free))
    if each.verdict is not None:
        yield from each.verdict.refusals
    yield from each.notes


def _room_rows(objects: Iterable[Checked]) -> Iterator[tuple[str, ...]]:
    for each in objects:
        if each.verdict is None:
            continue
        tightest = _tightest(each.verdict)
        for room in each.verdict.rooms:
            limit, name = room.limit, room.limit.resource
            amounts = (at_least(name, max(room.requested, 0)), at_most(name, room.free), at_most(name, limit.hard))
            mark = _BINDING if room is tightest else "" if limit.mode is Mode.ENFORCE else f"only {limit.mode.value}"
            yield (f"{each.written.kind}/{each.written.name}", limit.entry, limit.subject, name, *amounts, mark)


def _tightest(verdict: Verdict) -> Room | None:
    """Return the limit that leaves the smallest part of what is asked for, of those that refuse."""
    refusing = [each for each in verdict.rooms if each.limit.mode is Mode.ENFORCE]
    return min(refusing, key=lambda each: Fraction(each.most) / Fraction(max(each.number, 1) * each.each), default=None)


def _added(objects: Iterable[Checked]) -> Mapping[str, Amount]:
    added: dict[str, Amount] = {}
    for each in objects:
        for name, amount in each.verdict.adds if each.verdict is not None else ():
            added[name] = added.get(name, 0) + amount
    return added


def _left_row(each: Left) -> tuple[str, ...]:
    limit, name = each.limit, each.limit.resource
    amounts = (at_least(name, each.taken), at_most(name, each.free), at_most(name, limit.hard))
    return (limit.entry, limit.subject, name, *amounts)


def _free(each: Left) -> str:
    return show(each.limit.resource, each.free)


def _item(each: Checked) -> dict[str, object]:
    written, verdict = each.written, each.verdict
    item: dict[str, object] = {
        "apiVersion": written.api_version,
        "kind": written.kind,
        "namespace": each.namespace,
        "name": written.name,
        "place": f"{written.source}:{written.position.line}",
        "verdict": _verdict(each),
        "texts": list(_texts(each)),
    }
    if verdict is None:
        return item
    tightest = _tightest(verdict)
    if verdict.workload is not None:
        made = verdict.workload.made
        item["copies"] = {"called": verdict.workload.noun, "wanted": made.number, "fit": made.fits}
    return {
        **item,
        "wouldFit": _largest(each),
        "adds": {name: show(name, amount) for name, amount in verdict.adds},
        "limits": [{**_room_item(room), "tightest": room is tightest} for room in verdict.rooms],
    }


def _room_item(room: Room) -> dict[str, object]:
    name = room.limit.resource
    shown = {"requested": max(room.requested, 0), "used": room.used, "reserved": room.reserved, "free": room.free}
    return {
        **_limit_item(room.limit),
        **{what: show(name, amount) for what, amount in shown.items()},
        "exceeded": room.is_exceeded,
    }


def _limit_item(limit: Limit) -> dict[str, object]:
    return {
        "entry": limit.entry,
        "place": limit.place,
        "subject": limit.subject,
        "resource": limit.resource,
        "mode": limit.mode.value,
        "hard": show(limit.resource, limit.hard),
    }
