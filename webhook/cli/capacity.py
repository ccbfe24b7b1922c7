"""
`userquota capacity`: what nodes have, and how much of it was promised.
"""

from __future__ import annotations

import click

from webhook.cli.cluster import Asking, asking_options
from webhook.cli.printing import output_in, show_document, show_table
from webhook.cli.view_client import Document, ViewClient, pools_in
from webhook.cli.watching import show_view, watch_option


@click.command("capacity", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@watch_option
@asking_options
@output_in("table", "json", "yaml", "name")
def command(*, watch: bool, asking: Asking, output: str) -> None:
    """
    Show what the nodes of each class have of which a part was promised, and how much is free on demand.

    UNUSED is what was promised and is not used: it is not free for others. It takes the right to see others: the
    ClusterRole userquota-view-all.
    """
    show_view(asking, ViewClient.pools, _show, output, watch=watch)


def _show(document: Document, output: str) -> None:
    if output in ("json", "yaml"):
        show_document(document, output)
        return
    pools = pools_in(document)
    if output == "name":
        for name, _ in pools:
            click.echo(name)
        return
    rows = [
        (name, each.resource, each.has or "-", each.used, each.reserved, each.promised, each.unused, each.free or "-")
        for name, status in pools
        for each in status.resources
    ]
    if rows:
        show_table(("POOL", "RESOURCE", "HAS", "USED", "RESERVED", "PROMISED", "UNUSED", "FREE"), rows)
    else:
        click.echo("Nothing was promised.", err=True)
