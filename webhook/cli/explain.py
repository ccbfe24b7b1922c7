"""
`userquota explain`: which rule of the policy makes each number; for an object see `explained_object`.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import click

from webhook.cli.cluster import Asking, asking_options, is_subject, subject_in
from webhook.cli.explained_object import Explained, explain_object, show_explained
from webhook.cli.printing import output_option, show_document
from webhook.cli.quota_tables import show_rules
from webhook.cli.view_client import Document, connected, statuses
from webhook.kube.api import KubernetesApi
from webhook.wiring.handover_kinds import may_be_kind


class Named(NamedTuple):
    """What is to be explained: a subject, None for whoever asks, or with a `kind` an object."""

    subject: str | None
    kind: str = ""
    name: str = ""


def _named(_: click.Context, __: click.Parameter, written: str | None) -> Named:
    """Return what is *written*. Raises: UsageError for what is neither a subject nor an object."""
    word, slash, name = (written or "").partition("/")
    if is_subject(written) or not (slash and name and may_be_kind(word)):
        return Named(subject_in(written))
    return Named(None, word, name)


@click.command("explain", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.argument("named", required=False, metavar="[SUBJECT | KIND/NAME]", callback=_named)
@click.option(
    "-n",
    "--namespace",
    allow_from_autoenv=False,
    help="Also what binds in this namespace; with KIND/NAME where the object is, by default the context's namespace.",
)
@asking_options
@output_option
def command(
    *,
    named: Named,
    namespace: str | None,
    asking: Asking,
    output: str,
) -> None:
    """
    Show each limit in force for SUBJECT, by default for you: the rule that makes it, the entry of the policy, its
    ConfigMap, key and line, and when it ends.

    SUBJECT as for `userquota get`; it takes the right to see others.

    With KIND/NAME, such as pod/web-0, show who pays for an object and why, the controllers above it, what it costs, and
    in which limits it counts. For objects of others that takes the right to see others as well.
    """
    if named.kind:
        explained = asyncio.run(_of_object(asking, named, namespace))
        show_explained(explained, output)
        return
    if named.subject is not None and namespace is not None:
        raise click.UsageError("give one of SUBJECT and -n")
    document = asyncio.run(_read(asking, named.subject, namespace or ""))
    if output == "table":
        show_rules(statuses(document))
    else:
        show_document(document, output)


async def _of_object(asking: Asking, named: Named, namespace: str | None) -> Explained:
    kubeconfig, context, acting_as = asking
    api = await KubernetesApi.connect(kubeconfig=kubeconfig, context=context, acting_as=acting_as)
    try:
        return await explain_object(api, named.kind, named.name, namespace or api.namespace)
    finally:
        await api.close()


async def _read(asking: Asking, subject: str | None, namespace: str) -> Document:
    async with connected(*asking) as client:
        return await (client.own(namespace) if subject is None else client.one(subject))
