"""
The report of `userquota preflight` for people: a table for each part, what is wrong first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from webhook.cli.preflight_document import suggested_hard
from webhook.cli.printing import show_table
from webhook.preflight.infrastructure import DaemonSetSize
from webhook.preflight.made_anew import Anew
from webhook.preflight.ownerless import Ownerless
from webhook.preflight.report import Report
from webhook.preflight.standings import AboveCap, Standing
from webhook.quota.resources import show, show_list

_MOST_ROWS = 20
_MOST_WRITERS = 10

_SHOWN_USE = frozenset({"pods", "requests.cpu", "requests.memory", "gpu", "accelerator", "sessions"})
"""What a row shows of the use of ownerless workloads; the documents have all of it."""


def show_tables(report: Report) -> None:
    """Print *report*; of long tables the first rows, and how many more there are."""
    exempt = ", ".join(report.exempt) or "none"
    click.echo(f"Kubernetes {report.server or 'of an unknown version'}; exempt namespaces: {exempt}")
    _show_problems(report)
    _show_standings(report)
    _show_ownerless(report)
    _show_anew(report)
    _show_writers(report)
    _show_infrastructure(report)


def _show_problems(report: Report) -> None:
    unread = [(each.what, each.why) for each in report.unreadable]
    _section("could not be read: what follows is incomplete", ("WHAT", "WHY"), unread, most=None)
    gaps = [(each.what, each.consequence) for each in report.gaps]
    _section("missing in the cluster", ("WHAT", "CONSEQUENCE"), gaps, most=None)


def _show_standings(report: Report) -> None:
    standings = report.standings
    heads = ("ENTRY", "SUBJECT", "RESOURCE", "USED", "LIMIT", "OVER", "MODE", "PLACE")
    of_caps = ("ENTRY", "RESOURCE", "LIMIT", "OBJECTS", "LARGEST", "ITS AMOUNT", "MODE", "PLACE")
    _section("over a limit", heads, [_row(each) for each in standings.over], most=None)
    _section("above a cap on one object", of_caps, [_cap_row(each) for each in standings.above_caps], most=None)
    within = [_row(each) for each in standings.limits if not each.over]
    _section("within a limit, the fullest first", heads[:5] + heads[6:], [row[:5] + row[6:] for row in within])


def _row(each: Standing) -> tuple[str, ...]:
    limit = each.limit
    amounts = map(limit.shown, (each.used, limit.hard, each.over))
    return (limit.entry, limit.subject, limit.resource, *amounts, limit.mode.value, limit.place)


def _cap_row(each: AboveCap) -> tuple[str, ...]:
    limit, largest = each.limit, each.largest_object
    name = f"{largest.namespace}/{largest.name}"
    amounts = (limit.shown(limit.hard), str(each.count), name, limit.shown(each.largest))
    return (limit.entry, limit.resource, *amounts, limit.mode.value, limit.place)


def _show_ownerless(report: Report) -> None:
    heads = ("NAMESPACE", "KIND", "WORKLOADS", "PODS", "THEIR USE")
    _section("workloads without an owner", heads, [_ownerless_row(each) for each in report.ownerless])
    hard = suggested_hard(report)
    if hard:
        written = ", ".join(f"{_plain_or_quoted(name)}: {_plain_or_quoted(text)}" for name, text in hard.items())
        click.echo("\nThis entry bounds all that has no owner by what it uses now; leave room for rollouts:\n")
        click.echo(f"defaults: {{unattributed: {{hard: {{{written}}}}}}}")


def _show_anew(report: Report) -> None:
    title = "what nobody is known to own, and who pays once it is made anew; people pay for what they make"
    of_objects = ("NAMESPACE", "KIND", "OBJECTS", "MADE BY", "PAYS", "FOUND BY", "THEIR USE")
    _section(title, of_objects, [_anew_row(each) for each in report.anew])
    heads = ("ENTRY", "SUBJECT", "RESOURCE", "USED", "LIMIT", "OVER", "MODE", "PLACE")
    _section("over a limit once all that is made anew", heads, [_row(each) for each in report.over_anew], most=None)


def _anew_row(each: Anew) -> tuple[str, ...]:
    payer = "is refused" if each.is_refused else each.payer or "its maker"
    use = show_list((name, amount) for name, amount in each.used if name in _SHOWN_USE)
    return (
        each.namespace,
        each.kind,
        str(each.objects),
        each.made_by,
        payer,
        "; ".join(each.found_by),
        use or "nothing",
    )


def _ownerless_row(each: Ownerless) -> tuple[str, ...]:
    use = show_list((name, amount) for name, amount in each.used if name in _SHOWN_USE)
    return (each.namespace, each.kind, str(each.workloads), str(each.pods), use or "nothing")


def _plain_or_quoted(text: str) -> str:
    """Return *text* as YAML reads it back: quoted where it has more than letters, digits and dashes."""
    return text if text.replace("-", "").replace(".", "").isalnum() else json.dumps(text)


def _show_writers(report: Report) -> None:
    heads = ("FIELD MANAGER", "OBJECTS", "WITHOUT A CONTROLLER")
    rows = [(each.manager, str(each.objects), str(each.topmost)) for each in report.writers]
    title = "programs that wrote pods and workloads; which users ran them is kept nowhere in the API"
    _section(title, heads, rows, most=_MOST_WRITERS)


def _show_infrastructure(report: Report) -> None:
    heads = ("NAMESPACE", "DAEMONSET", "NODES", "ABOVE")
    rows = [_daemon_set_row(each) for each in report.daemon_sets]
    title = "DaemonSets outside the exempt namespaces: new nodes lack a pod if its maker is bound by a default above"
    _section(title, heads, rows)
    names = [(each.name, str(each.pods)) for each in report.system_namespaces]
    _section("namespaces of the system that are not exempt, and would be bound", ("NAMESPACE", "PODS"), names)


def _daemon_set_row(each: DaemonSetSize) -> tuple[str, ...]:
    above = ", ".join(
        f"{default.entry} {default.resource}={show(default.resource, default.hard)} ({default.mode.value})"
        for default in each.above
    )
    return (each.namespace, each.name, str(each.nodes), above or "no default")


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, most: int | None = _MOST_ROWS) -> None:
    """Print a title, and at most *most* of the *rows* with the number of those left out."""
    click.echo(f"\n# {title}{'' if rows else ': none'}")
    if not rows:
        return
    show_table(heads, rows[:most])
    left_out = len(rows) - len(rows[:most])
    if left_out:
        click.echo(f"and {left_out} more: see -o json")
