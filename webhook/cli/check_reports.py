"""
What `userquota check` says: tables for people, a document for programs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import click
import msgspec

from webhook.admission.check_status import COSTS_NOTHING, DOES_NOT_FIT, FITS, NO_VERDICT, CheckStatus, Item, LeftRow
from webhook.cli.check_holders import Held
from webhook.cli.printing import age_since, show_document, show_table
from webhook.quota.policy import Mode
from webhook.quota.quantity import Format
from webhook.quota.resources import read
from webhook.quota.rounding import at_least, at_most

_BINDING = "<- the tightest"
_FURTHER = "further objects"


def show_check(status: CheckStatus, holders: Iterable[Held]) -> None:
    """
    Print tables: the verdict on each object and where it stands, the limits on each, what all add, what is left, and
    the *holders* of what is taken.
    """
    rows = [(each.namespace, each.kind, each.name, each.verdict, each.would_fit) for each in status.items]
    show_table(("NAMESPACE", "KIND", "NAME", "VERDICT", "WOULD FIT"), rows)
    for each in status.items:
        for text in each.texts:
            click.echo(f"{each.place}: {each.kind} {each.name}: {text}")
    _section("limits", ("OBJECT", "LIMIT", "WHOM", "RESOURCE", "REQUESTED", "FREE", "OF", ""), _room_rows(status.items))
    adds = [(name, _up(name, amount)) for name, amount in status.adds.items()]
    _section("all together", ("RESOURCE", "ADDS"), adds)
    left = map(_left_row, status.limits)
    _section("left of each limit", ("LIMIT", "WHOM", "RESOURCE", "TAKEN", "FREE", "OF"), left)
    heads = ("WHOM", "RESOURCE", "TAKES", "OWNER", "OBJECT", "AGE")
    _section("who holds what is taken", heads, map(_held_row, holders))
    counts = Counter(each.verdict for each in status.items)
    click.echo()
    verdicts = (FITS, DOES_NOT_FIT, COSTS_NOTHING, NO_VERDICT)
    click.echo(", ".join(f"{each}: {counts[each]}" for each in verdicts if counts[each]))


def show_check_document(status: CheckStatus, holders: Sequence[Held], output: str) -> None:
    """Print all of it as one document, with exact amounts."""
    document = msgspec.to_builtins(status)
    show_document({**document, "holders": msgspec.to_builtins(holders)} if holders else document, output)


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a title and *rows*; nothing without rows."""
    if listed := list(rows):
        click.echo(f"\n# {title}")
        show_table(heads, listed)


def _room_rows(items: Iterable[Item]) -> Iterator[tuple[str, ...]]:
    for each in items:
        for row in each.limits:
            name = row.resource
            amounts = (_up(name, row.requested), _down(name, row.free), _down(name, row.hard))
            mark = _BINDING if row.tightest else "" if row.mode == Mode.ENFORCE.value else f"only {row.mode}"
            yield (f"{each.kind}/{each.name}", row.entry, row.subject, name, *amounts, mark)


def _left_row(row: LeftRow) -> tuple[str, ...]:
    name = row.resource
    return (row.entry, row.subject, name, _up(name, row.taken), _down(name, row.free), _down(name, row.hard))


def _held_row(each: Held) -> tuple[str, ...]:
    amount = _up(each.resource, each.amount)
    if not each.name:
        return (each.subject, each.resource, amount, "", _FURTHER, "")
    named = f"{each.kind} {each.namespace}/{each.name}"
    return (each.subject, each.resource, amount, each.owner, named, age_since(each.created))


def _up(name: str, exact: str) -> str:
    return at_least(name, read(name, exact), _form(exact))


def _down(name: str, exact: str) -> str:
    return at_most(name, read(name, exact), form=_form(exact))


def _form(exact: str) -> Format | None:
    """Return the notation of an amount that is larger than its unit; None if its text does not tell."""
    return Format.BINARY_SI if exact.endswith("i") else None
