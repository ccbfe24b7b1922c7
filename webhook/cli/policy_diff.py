"""
`userquota policy diff`: what another policy would change, for those who are bound by it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from webhook.cli.checked_policy import checked_policy
from webhook.cli.cluster import Asking, asking_options, namespace_option
from webhook.cli.inputs import InputError, read_input_objects
from webhook.cli.printing import output_option, show_document, show_table
from webhook.documents.step_by_step import at_once
from webhook.ports import UnavailableError
from webhook.quota.edits import Effect, Known, Overrun, effect_of
from webhook.quota.effective import LimitChange, changed_limits
from webhook.quota.limits import Limit
from webhook.quota.policy import Policy
from webhook.quota.policy_changes import Difference, EntryChange, PolicyChanges, changes_between

_NOTHING = "-"
_OFFLINE = "with OLD and --usage instead of --live no cluster is asked, see docs/policy-tests.md"


@dataclass(frozen=True, slots=True)
class Compared:
    """Two policies, compared; `effect` is None without usage."""

    limits: tuple[LimitChange, ...]
    changes: PolicyChanges
    effect: Effect | None

    @property
    def is_different(self) -> bool:
        """Whether there is any difference."""
        return bool(self.limits or self.changes.entries or self.changes.settings)


@click.command("diff", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.argument("policies", nargs=-1, metavar="[OLD] NEW")
@click.option(
    "--usage",
    allow_from_autoenv=False,
    multiple=True,
    metavar="FILE",
    help="Objects of the cluster, saved with kubectl get -A -o json: who would be over a limit. Repeatable.",
)
@click.option(
    "--live",
    allow_from_autoenv=False,
    is_flag=True,
    help="Ask the cluster what is used, and without OLD for its policy.",
)
@namespace_option
@asking_options
@output_option
def command(  # noqa: PLR0913 - one parameter for each option
    *, policies: tuple[str, ...], usage: tuple[str, ...], live: bool, namespace: str, asking: Asking, output: str
) -> None:
    """
    Compare two policies, each a file or a folder: whose limits fall and rise, and which entries say something else.

    Compared are the limits in force now, of all whom either policy names, and of who uses something. Only limits that
    are enforced count.

    With --live who would be over a limit is told by what exists in the cluster. Without OLD its policy is compared,
    which takes the right to list ConfigMaps in --namespace; what exists takes the right to list all that is counted.

    For --usage save pods, persistentvolumeclaims, resourceclaims.resource.k8s.io, namespaces, and whatever else the
    policy counts. Exit code 1 if there is a difference, 2 if a policy has mistakes or something cannot be read.
    """
    if live and usage:
        raise click.UsageError("give one of --live and --usage")
    if asking.acting_as and not live:
        raise click.UsageError("--as goes with --live")
    if len(policies) != 2 and not (live and len(policies) == 1):
        raise click.UsageError("give OLD and NEW, or NEW with --live, for the policy of the cluster as OLD")
    *olds, new = policies
    before = checked_policy(olds, exit_code=2) if olds else None
    after = checked_policy([new], exit_code=2)
    now = datetime.fromtimestamp(time.time(), UTC)
    known: Known | None
    if live or before is None:
        before, after, known = _live(asking, before, after, namespace, now)
    else:
        known = _saved(usage, after, now) if usage else None
    compared = _compare(before, after, known, now)
    if output == "table":
        _show_tables(compared)
    else:
        show_document(_document(compared), output)
    if compared.is_different:
        sys.exit(1)


def _compare(before: Policy, after: Policy, known: Known | None, now: datetime) -> Compared:
    changes = changes_between(before, after)
    if known is None:
        return Compared(changed_limits(before, after, now, labels_of=lambda _: {}), changes, None)
    used_by = {
        (row.payer, path.partition("/")[0]) for rows in known.holdings.rows.values() for path, row in rows.items()
    }
    limits = changed_limits(before, after, now, used_by=used_by, labels_of=known.labels_of)
    return Compared(limits, changes, at_once(effect_of(before, after, known)))


def _saved(names: Sequence[str], after: Policy, now: datetime) -> Known:
    """Return what the files *names* say is used. Raises: InputError, SavedUsageError."""
    from webhook.wiring.saved_usage import usage_of  # noqa: PLC0415 - it takes long to import

    saved = usage_of(read_input_objects(names), after, now)
    for namespace in saved.unlabelled:
        click.echo(f"note: namespace {namespace} was not saved: it is taken for one without labels", err=True)
    return Known(saved.holdings, saved.labels_of, now, lambda resource: resource in saved.resources)


def _live(
    asking: Asking, before: Policy | None, after: Policy, namespace: str, now: datetime
) -> tuple[Policy, Policy, Known]:
    """Return both policies and what the cluster says is used. Raises: InputError, which names the way without one."""
    from webhook.kube.api import KubeconfigError  # noqa: PLC0415 - it takes long to import
    from webhook.wiring.live_usage import live_comparison  # noqa: PLC0415 - as above

    reading = live_comparison(*asking, before=before, after=after, namespace=namespace, now=now)
    try:
        return asyncio.run(reading)
    except (KubeconfigError, UnavailableError) as error:
        raise InputError(f"{error}\n{_OFFLINE}") from error


def _show_tables(compared: Compared) -> None:
    heads = ("WHOM", "LIMIT", "BEFORE", "AFTER", "BY")
    for title, is_stricter in (("may use less", True), ("may use more", False)):
        _section(title, heads, [_limit_row(each) for each in compared.limits if each.is_stricter is is_stricter])
    entries = [row for each in compared.changes.entries for row in _entry_rows(each)]
    _section("entries", ("CHANGE", "ENTRY", "WHAT", "BEFORE", "AFTER", "PLACE"), entries)
    settings = [(each.what, *_sides(each)) for each in compared.changes.settings]
    _section("settings", ("SETTING", "BEFORE", "AFTER"), settings)
    if compared.effect is not None:
        rows = [_overrun_row(each) for each in compared.effect.overruns]
        _section("would be over a limit", ("WHOM", "RESOURCE", "USED", "LIMIT", "OVER", "BY"), rows)
        _section("not compared with what is used", ("WHAT",), [(each,) for each in compared.effect.uncompared])
    if not compared.is_different:
        click.echo("no differences")


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a title and *rows*; nothing without rows."""
    if rows:
        click.echo(f"# {title}")
        show_table(heads, rows)
        click.echo()


def _limit_row(each: LimitChange) -> tuple[str, ...]:
    bound, limit = each.bound, each.after or each.before
    by = _NOTHING if limit is None else _entry(limit)
    name = f"{bound.resource} {bound.cap}".rstrip()
    return (bound.whom, name, *(_hard(side) or "no limit" for side in (each.before, each.after)), by)


def _hard(limit: Limit | None) -> str | None:
    return None if limit is None else limit.shown(limit.hard)


def _entry(limit: Limit) -> str:
    return f"{limit.entry} at {limit.place}" if limit.place else limit.entry


def _entry_rows(each: EntryChange) -> Iterable[tuple[str, ...]]:
    place = " -> ".join(filter(None, (each.before, each.after)))
    for difference in each.differences or (Difference(_NOTHING, None, None),):
        yield (each.change, each.entry, difference.what, *_sides(difference), place)


def _sides(each: Difference) -> tuple[str, str]:
    """Return what is said before and after; of what has no short form only whether it is there."""
    before, after = (_NOTHING if side is None else side or "(something)" for side in (each.before, each.after))
    return before, "(something else)" if (each.before, each.after) == ("", "") else after


def _overrun_row(each: Overrun) -> tuple[str, ...]:
    limit = each.limit
    amounts = map(limit.shown, (each.allocated, limit.hard, each.over))
    return (limit.subject, limit.resource, *amounts, _entry(limit))


def _document(compared: Compared) -> dict[str, object]:
    document: dict[str, object] = {
        "different": compared.is_different,
        "limits": [_limit_item(each) for each in compared.limits],
        "entries": [
            {
                "change": each.change,
                "entry": each.entry,
                "placeBefore": each.before or None,
                "placeAfter": each.after or None,
                "differences": [_difference_item(difference) for difference in each.differences],
            }
            for each in compared.changes.entries
        ],
        "settings": [_difference_item(each) for each in compared.changes.settings],
    }
    if compared.effect is not None:
        document["overLimits"] = [_overrun_item(each) for each in compared.effect.overruns]
        document["notCompared"] = list(compared.effect.uncompared)
    return document


def _limit_item(each: LimitChange) -> dict[str, object]:
    sides = {"before": each.before, "after": each.after}
    return {
        "whom": each.bound.whom,
        "cap": each.bound.cap or None,
        "resource": each.bound.resource,
        "change": "less" if each.is_stricter else "more",
        **{
            name: None if limit is None else {"hard": _hard(limit), "entry": limit.entry, "place": limit.place}
            for name, limit in sides.items()
        },
    }


def _difference_item(each: Difference) -> dict[str, object]:
    return {"what": each.what, "before": each.before, "after": each.after}


def _overrun_item(each: Overrun) -> dict[str, object]:
    limit = each.limit
    return {
        "whom": limit.subject,
        "resource": limit.resource,
        "used": limit.shown(each.allocated),
        "limit": limit.shown(limit.hard),
        "over": limit.shown(each.over),
        "entry": limit.entry,
        "place": limit.place,
    }
