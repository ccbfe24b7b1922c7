"""
`userquota get`: the limits of whoever asks, of one subject, or of all. For what it reads of the cluster itself see
`inspection`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import click

from webhook.cli.cluster import Asking, asking_options, subject_argument
from webhook.cli.printing import may_colour, output_in, show_document
from webhook.cli.quota_tables import show_quotas
from webhook.cli.view_client import Document, ViewClient, connected, statuses
from webhook.settings import Settings

_POLL_SECONDS = 2.0
_HOME = "userquota-system"


@click.command("get", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@subject_argument
@click.option("--drift", is_flag=True, help="Compare the shared ledger with what is stored.")
@click.option("--unattributed", is_flag=True, help="List what nobody is known to own.")
@click.option(
    "-n",
    "--namespace",
    allow_from_autoenv=False,
    help="Also what binds in this namespace. With --drift: where userquota is installed.",
)
@click.option("-A", "--all", "everybody", is_flag=True, help="All subjects. It takes the right to see others.")
@click.option("-w", "--watch", is_flag=True, help="Print the tables again when they change, until you stop it.")
@asking_options
@output_in("table", "wide", "json", "yaml", "name")
def command(  # noqa: PLR0913 - what goes with what; one parameter for each option
    *,
    subject: str | None,
    drift: bool,
    unattributed: bool,
    namespace: str | None,
    everybody: bool,
    watch: bool,
    asking: Asking,
    output: str,
) -> None:
    """
    Show your limits, what is used, held and free of each, and your largest objects.

    SUBJECT is user/NAME, group/NAME, tenant/NAME, namespace/NAME, serviceaccounts/NAMESPACE or cluster; to see those of
    others takes the ClusterRole userquota-view-all.

    With --drift show the ledger's condition, what is in flight, and pods that userquota was not asked about; with
    --unattributed the objects that nobody is known to own, with the workload on top that each was made for. These two
    read the cluster themselves. With --drift exit code 1 if something is wrong: the ledger is absent, damaged or being
    rebuilt, or a reservation whose object is stored is not settled within five seconds. Pods without a stamp are listed
    and are not wrong.
    """
    if drift or unattributed:
        if subject or everybody or watch or asking.acting_as or output in ("wide", "name"):
            raise click.UsageError("--drift and --unattributed go without SUBJECT, -A, -w, --as and -o wide or name")
        if drift and unattributed:
            raise click.UsageError("give one of --drift and --unattributed")
        home = namespace or os.environ.get("USERQUOTA_NAMESPACE") or _HOME
        settings = Settings(kubeconfig=asking.kubeconfig, context=asking.context, namespace=home)
        from webhook.cli.inspection import inspect  # noqa: PLC0415 - takes longer to import than the rest together

        inspect(settings, unattributed=unattributed, output=output)
        return
    if (subject is not None) + everybody + (namespace is not None) > 1:
        raise click.UsageError("give one of SUBJECT, -A and -n")
    if watch and output not in ("table", "wide"):
        raise click.UsageError("-w prints tables: leave -o out, or give -o wide")

    async def read(client: ViewClient) -> Document:
        if subject is not None:
            return await client.one(subject)
        return await (client.all() if everybody else client.own(namespace or ""))

    try:
        asyncio.run(_print(asking, read, output, watch=watch))
    except KeyboardInterrupt:  # the way to end -w
        click.echo()


async def _print(
    asking: Asking, read: Callable[[ViewClient], Awaitable[Document]], output: str, *, watch: bool
) -> None:
    """Print what *read* returns; with *watch* for ever, each time that it differs."""
    async with connected(*asking) as client:
        last = await read(client)
        _show(last, output)
        while watch:
            await asyncio.sleep(_POLL_SECONDS)
            if (new := await read(client)) != last:
                last = new
                click.echo()
                _show(last, output)


def _show(document: Document, output: str) -> None:
    if output in ("json", "yaml"):
        show_document(document, output)
    elif output == "name":
        for whom in dict.fromkeys(each.subject for status in statuses(document) for each in status.limits):
            click.echo(whom)
    else:
        show_quotas(statuses(document), wide=output == "wide", with_bars=may_colour())
