"""
`userquota top`: who holds most of a resource.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import click

from webhook.cli.cluster import Asking, asking_options, subject_argument
from webhook.cli.printing import output_in, show_document, show_table
from webhook.cli.quota_tables import show_holders
from webhook.cli.view_client import Document, Limit, Status, ViewClient, holdings, statuses
from webhook.cli.watching import show_view, watch_option
from webhook.quota import quantity, resources
from webhook.quota.resources import canonical_name
from webhook.view.holders import AGE

_SUBJECTS = {
    "user": ("user/", "serviceaccounts/"),
    "group": ("group/",),
    "tenant": ("tenant/",),
    "namespace": ("namespace/",),
}


@click.command("top", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@subject_argument
@click.option(
    "--sort",
    "written",
    default="cpu",
    show_default=True,
    metavar="RESOURCE",
    help="As a policy names it; or age, for the oldest objects.",
)
@click.option(
    "--by", type=click.Choice(["object", *_SUBJECTS]), default="object", show_default=True, help="What to list."
)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many to list.")
@click.option("-n", "--namespace", allow_from_autoenv=False, help="Only objects in this namespace.")
@watch_option
@asking_options
@output_in("table", "wide", "json", "yaml", "name")
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    subject: str | None,
    written: str,
    by: str,
    limit: int,
    namespace: str | None,
    watch: bool,
    asking: Asking,
    output: str,
) -> None:
    """
    Show who holds most of a resource: objects, with --by users, groups with a pool, tenants, or namespaces. With --sort
    age the objects that are there the longest.

    SUBJECT, as for `userquota get`, limits the objects to those that are charged to it. It takes the right to see
    others: the ClusterRole userquota-view-all.
    """
    resource = AGE if written == AGE else canonical_name(written)
    if resource is None:
        raise click.UsageError(f"--sort: there is no resource {written}")
    if (subject is not None) + (namespace is not None) > 1:
        raise click.UsageError("give one of SUBJECT and -n")
    if by != "object" and (subject or namespace):
        raise click.UsageError("SUBJECT and -n go with --by object")
    if by != "object" and resource == AGE:
        raise click.UsageError("--sort age goes with --by object")
    whom = f"namespace/{namespace}" if namespace else subject

    async def read(client: ViewClient) -> Document:
        return await (client.all() if by != "object" else client.holders(sort=resource, limit=limit, whom=whom))

    def show(document: Document, output: str) -> None:
        if by == "object":
            _show_objects(document, resource, output)
        else:
            _show_subjects(ranked(statuses(document), resource, _SUBJECTS[by])[:limit], output)

    show_view(asking, read, show, output, watch=watch)


def _show_objects(document: Document, resource: str, output: str) -> None:
    if output in ("json", "yaml"):
        show_document(document, output)
    elif output == "name":
        for each in holdings(document):
            click.echo(f"{each.resource}/{each.namespace}/{each.name}")
    else:
        show_holders(holdings(document), resource, wide=output == "wide" or resource == AGE)


def _show_subjects(rows: Iterable[Limit], output: str) -> None:
    if output in ("json", "yaml"):
        listed = [{key: value for key, value in _item(each).items() if value is not None} for each in rows]
        show_document({"items": listed}, output)
    elif output == "name":
        for each in rows:
            click.echo(each.subject)
    else:
        heads = ("SUBJECT", "RESOURCE", "USED", "RESERVED", "HARD", "FREE", "OVER")
        show_table(heads, [tuple(value or "-" for value in _item(each).values()) for each in rows])


def ranked(found: Iterable[Status], resource: str, prefixes: tuple[str, ...]) -> list[Limit]:
    """
    Return what subjects with one of *prefixes* hold of *resource*, those first that hold most.

    Of several limits on one subject the lowest is told: it comes first in the answer.
    """
    rows: dict[str, Limit] = {}
    for status in found:
        for each in status.limits:
            if each.resource == resource and each.subject.startswith(prefixes) and not each.scopes:
                rows.setdefault(each.subject, each)
    held = {each.subject: _number(resource, each.used) + _number(resource, each.reserved) for each in rows.values()}
    return sorted(
        (each for each in rows.values() if held[each.subject]), key=lambda each: (-held[each.subject], each.subject)
    )


def _number(resource: str, text: str) -> int | Fraction:
    """Return an amount from its text, in any unit that is the same for all amounts of *resource*."""
    if resource in resources.LOGICAL:
        return sum((Fraction(part) for part in text.split("+")), Fraction(0))
    return quantity.parse(text).nanos


def _item(each: Limit) -> dict[str, str | None]:
    return {
        "subject": each.subject,
        "resource": each.resource,
        "used": each.used,
        "reserved": each.reserved,
        "hard": each.hard,
        "free": each.free,
        "over": each.over,
    }
