"""
`userquota explain`: which rule of the policy makes each number.
"""

from __future__ import annotations

import asyncio

import click

from webhook.cli.cluster import Asking, asking_options, subject_argument
from webhook.cli.printing import output_option, show_document
from webhook.cli.quota_tables import show_rules
from webhook.cli.view_client import Document, connected, statuses


@click.command("explain", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@subject_argument
@click.option("-n", "--namespace", allow_from_autoenv=False, help="Also what binds in this namespace.")
@asking_options
@output_option
def command(
    *,
    subject: str | None,
    namespace: str | None,
    asking: Asking,
    output: str,
) -> None:
    """
    Show each limit in force for SUBJECT, by default for you: the rule that makes it, the entry of the policy, its
    ConfigMap, key and line, and when it ends.

    SUBJECT as for `userquota get`; it takes the right to see others.
    """
    if subject is not None and namespace is not None:
        raise click.UsageError("give one of SUBJECT and -n")
    document = asyncio.run(_read(asking, subject, namespace or ""))
    if output == "table":
        show_rules(statuses(document))
    else:
        show_document(document, output)


async def _read(asking: Asking, subject: str | None, namespace: str) -> Document:
    async with connected(*asking) as client:
        return await (client.own(namespace) if subject is None else client.one(subject))
