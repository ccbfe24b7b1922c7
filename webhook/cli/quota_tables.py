"""
Quotas as tables, for `userquota get`, `top` and `explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import click

from webhook.cli.printing import age_since, show_table
from webhook.cli.view_client import Cap, Holding, Limit, Status
from webhook.quota.resources import read

_CELLS = 10
"""Cells of a bar that shows how full a limit is."""

_NEARLY_FULL = Fraction(8, 10)


def show_quotas(found: Sequence[Status], *, wide: bool, with_bars: bool = False) -> None:
    """
    Print the limits, then the caps on one object, then the largest objects, each with its heads if there are any; with
    *wide* also what the resources are.

    *with_bars*, which are in colour, the limits show how full they are.
    """
    tables = [
        _limits([each for status in found for each in status.limits], wide=wide, with_bars=with_bars),
        _caps(dict.fromkeys(each for status in found for each in status.caps), wide=wide),
        _holders([each for status in found for each in status.holders]),
        *([_resources(found)] if wide else ()),
    ]
    shown = [table for table in tables if len(table) > 1]
    for number, (heads, *rows) in enumerate(shown):
        if number:
            click.echo()
        show_table(heads, rows)
    if not shown:
        click.echo("No limits found.", err=True)
    for exempt in filter(None, (status.exempt for status in found)):
        click.echo(f"\nexempt, no limit refuses: {exempt}")


def show_rules(found: Sequence[Status]) -> None:
    """Print each number with the rule that makes it, then what the resources are."""
    heads = ("SUBJECT", "RESOURCE", "HARD", "RULE", "ENTRY", "PLACE", "UNTIL")
    rows = [
        (_whom(each), each.resource, each.hard or "-", each.rule, each.entry, each.place or "-", each.until or "-")
        for status in found
        for each in status.limits
        if each.hard is not None
    ]
    rows += [
        (f"each ({each.cap})", each.resource, each.hard, each.rule, each.entry, each.place or "-", each.until or "-")
        for each in dict.fromkeys(each for status in found for each in status.caps)
    ]
    if rows:
        show_table(heads, rows)
        meaning, *told = _resources(found)
        if told:
            click.echo()
            show_table(meaning, told)
    else:
        click.echo("No limits found.", err=True)


def show_holders(found: Iterable[Holding], resource: str, *, wide: bool) -> None:
    """Print objects with what they hold of *resource*, or with *wide* of all."""
    show_table(
        ("OWNER", "RESOURCE", "NAMESPACE", "NAME", "AGE", "AMOUNTS" if wide else resource.upper()),
        [
            (
                each.owner,
                each.resource,
                each.namespace,
                each.name,
                age_since(each.created),
                _amounts(each) if wide else _of(each, resource),
            )
            for each in found
        ],
    )


def _limits(rows: Sequence[Limit], *, wide: bool, with_bars: bool) -> list[tuple[str, ...]]:
    rows = [each for each in rows if wide or each.hard is not None or not each.resource.startswith("count/")]
    # Objects by number are told where a policy limits them: each is counted in another row, too.
    has_parts = any(each.set_aside for each in rows)
    has_mode = wide or any(each.mode not in ("", "enforce") for each in rows)
    heads = (
        "SUBJECT",
        "RESOURCE",
        "USED",
        "RESERVED",
        "HARD",
        *(("SET ASIDE",) if has_parts else ()),
        "FREE",
        "OVER",
        *(("MODE",) if has_mode else ()),
        *(("ENTRY", "PLACE") if wide else ()),
        *(("FULL",) if with_bars else ()),
    )
    return [
        heads,
        *(
            (
                _whom(each),
                each.resource,
                each.used,
                each.reserved,
                each.hard or "-",
                *((each.set_aside or "0",) if has_parts else ()),
                each.free or "-",
                each.over or "-",
                *((each.mode or "-",) if has_mode else ()),
                *((each.entry or "-", each.place or "-") if wide else ()),
                *((_bar(each),) if with_bars else ()),
            )
            for each in rows
        ),
    ]


def _caps(rows: Iterable[Cap], *, wide: bool) -> list[tuple[str, ...]]:
    return [
        ("CAP", "RESOURCE", "HARD", *(("MODE", "ENTRY", "PLACE") if wide else ())),
        *(
            (each.cap, each.resource, each.hard, *((each.mode, each.entry, each.place or "-") if wide else ()))
            for each in rows
        ),
    ]


def _holders(rows: Sequence[Holding]) -> list[tuple[str, ...]]:
    return [
        ("HELD BY", "NAMESPACE", "NAME", "AGE", "AMOUNTS"),
        *((each.resource, each.namespace, each.name, age_since(each.created), _amounts(each)) for each in rows),
    ]


def _resources(found: Iterable[Status]) -> list[tuple[str, ...]]:
    """Return what the policy says of the resources, each once."""
    said = {name: about for status in found for name, about in status.resources.items()}
    return [
        ("RESOURCE", "DISPLAY NAME", "UNIT", "DESCRIPTION"),
        *(
            (name, *(text or "-" for text in (each.display_name, each.unit, each.description)))
            for name, each in sorted(said.items())
        ),
    ]


def _bar(each: Limit) -> str:
    """Return how full a limit is: green, yellow from 80 %, red if nothing is left; nothing for 0 of 0."""
    hard = read(each.resource, each.hard or "0")
    taken = read(each.resource, each.used) + read(each.resource, each.reserved)
    if each.hard is None or not (hard or taken):
        return ""
    share = Fraction(taken) / Fraction(hard) if hard else Fraction(1)
    full = min(int(share * _CELLS), _CELLS)
    colour = "red" if taken >= hard else "yellow" if share >= _NEARLY_FULL else "green"
    return click.style("█" * full + "░" * (_CELLS - full), fg=colour) + f" {int(share * 100)}%"


def _whom(each: Limit) -> str:
    return f"{each.subject} [{each.scopes}]" if each.scopes else each.subject


def _of(each: Holding, resource: str) -> str:
    return each.amounts.get(resource, "0")


def _amounts(each: Holding) -> str:
    return ",".join(f"{name}={amount}" for name, amount in each.amounts.items() if not name.startswith("count/"))
