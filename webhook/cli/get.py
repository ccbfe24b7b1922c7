"""
`userquota get`: the limits of whoever asks, of one subject, or of all. For what it reads of the cluster itself see
`inspection`, for `get allocations` see `allocations`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import click

from webhook.cli import allocations
from webhook.cli.cluster import Asking, asking_options, subject_in
from webhook.cli.printing import may_colour, output_in, show_document
from webhook.cli.quota_tables import show_quotas
from webhook.cli.view_client import Document, ViewClient, statuses
from webhook.cli.watching import show_view, watch_option
from webhook.settings import Settings

_HOME = "userquota-system"


class _What(NamedTuple):
    """What is asked for: allocations or limits, and whose; None for one's own."""

    is_allocations: bool
    subject: str | None


def _what(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> _What:
    """Return what *words* ask for. Raises: UsageError."""
    is_allocations = words[:1] != () and words[0] in allocations.NAMES
    subjects = words[is_allocations:]
    if len(subjects) > 1:
        raise click.UsageError(f"give one SUBJECT, not {' '.join(subjects)}")
    return _What(is_allocations, subject_in(*subjects) if subjects else None)


@click.command("get", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.argument("what", nargs=-1, metavar="[allocations] [SUBJECT]", callback=_what)
@click.option("--drift", is_flag=True, help="Compare the shared ledger with what is stored.")
@click.option("--unattributed", is_flag=True, help="List what nobody is known to own.")
@click.option(
    "-n",
    "--namespace",
    allow_from_autoenv=False,
    help="Also what binds in this namespace; allocations only of it. With --drift: where userquota is installed.",
)
@click.option("--owner", allow_from_autoenv=False, help="Only allocations that this user pays for.")
@click.option(
    "--resource", allow_from_autoenv=False, help="Only allocations of this resource, such as persistentvolumeclaims."
)
@click.option(
    "-l",
    "--selector",
    allow_from_autoenv=False,
    help="Only allocations with these tags, such as team=ml,cost-center!=7: labels that the policy names.",
)
@click.option("-A", "--all", "everybody", is_flag=True, help="All subjects. It takes the right to see others.")
@watch_option
@asking_options
@output_in("table", "wide", "json", "yaml", "name")
def command(  # noqa: PLR0913 - what goes with what; one parameter for each option
    *,
    what: _What,
    drift: bool,
    unattributed: bool,
    namespace: str | None,
    owner: str | None,
    resource: str | None,
    selector: str | None,
    everybody: bool,
    watch: bool,
    asking: Asking,
    output: str,
) -> None:
    """
    Show your limits, what is used, held and free of each, and your largest objects.

    SUBJECT is user/NAME, group/NAME, tenant/NAME, namespace/NAME, serviceaccounts/NAMESPACE or cluster; to see those of
    others takes the ClusterRole userquota-view-all.

    With `allocations` show what each object holds, what is in flight beyond that, and the sums of both.

    With --drift show the ledger's condition, what is in flight, and pods that userquota was not asked about; with
    --unattributed the objects that nobody is known to own, with the workload on top that each was made for. These two
    read the cluster themselves. With --drift exit code 1 if something is wrong: the ledger is absent, damaged or being
    rebuilt, or a reservation whose object is stored is not settled within five seconds. Pods without a stamp are listed
    and are not wrong.
    """
    subject = what.subject
    if not (owner is resource is selector is None or what.is_allocations):
        raise click.UsageError("--owner, --resource and --selector go with allocations")
    if drift or unattributed:
        if what.is_allocations or subject or everybody or watch or asking.acting_as or output in ("wide", "name"):
            raise click.UsageError(
                "--drift and --unattributed go without allocations, SUBJECT, -A, -w, --as and -o wide or name"
            )
        if drift and unattributed:
            raise click.UsageError("give one of --drift and --unattributed")
        _inspect(asking, namespace, unattributed=unattributed, output=output)
        return
    if what.is_allocations:
        options = {"--owner": owner, "-n": namespace, "--resource": resource, "--selector": selector}
        wanted = _wanted(subject, everybody=everybody, options=options)
        show_view(asking, lambda client: allocations.read(client, wanted), allocations.show, output, watch=watch)
        return
    if (subject is not None) + everybody + (namespace is not None) > 1:
        raise click.UsageError("give one of SUBJECT, -A and -n")

    async def read(client: ViewClient) -> Document:
        if subject is not None:
            return await client.one(subject)
        return await (client.all() if everybody else client.own(namespace or ""))

    show_view(asking, read, _show, output, watch=watch)


def _wanted(subject: str | None, *, everybody: bool, options: Mapping[str, str | None]) -> allocations.Wanted:
    """Return which allocations are asked for. Raises: UsageError."""
    if subject and everybody:
        raise click.UsageError("give one of SUBJECT and -A")
    for option, value in options.items():
        if value == "":
            expected = "tags, such as team=ml" if option == "--selector" else "a name"
            raise click.UsageError(f"{option}: expected {expected}")
    owner, namespace, resource, selector = (value or "" for value in options.values())
    return allocations.Wanted(subject or "", everybody, owner, namespace, resource, selector)


def _inspect(asking: Asking, namespace: str | None, *, unattributed: bool, output: str) -> None:
    """Print what is read of the cluster itself."""
    home = namespace or os.environ.get("USERQUOTA_NAMESPACE") or _HOME
    settings = Settings(kubeconfig=asking.kubeconfig, context=asking.context, namespace=home)
    from webhook.cli.inspection import inspect  # noqa: PLC0415 - takes longer to import than the rest together

    inspect(settings, unattributed=unattributed, output=output)


def _show(document: Document, output: str) -> None:
    if output in ("json", "yaml"):
        show_document(document, output)
    elif output == "name":
        for whom in dict.fromkeys(each.subject for status in statuses(document) for each in status.limits):
            click.echo(whom)
    else:
        show_quotas(statuses(document), wide=output == "wide", with_bars=may_colour())
