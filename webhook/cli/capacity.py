"""
`userquota capacity`: what nodes have, and how much of it was promised.
"""

from __future__ import annotations

import asyncio

import click

from webhook.cli.cluster import Asking, asking_options
from webhook.cli.printing import output_in, show_document, show_table
from webhook.cli.view_client import Document, connected, pools_in


@click.command("capacity", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@asking_options
@output_in("table", "json", "yaml", "name")
def command(*, asking: Asking, output: str) -> None:
    """
    Show what the nodes of each class have of which a part was promised, and how much is free on demand.

    UNUSED is what was promised and is not used: it is not free for others. It takes the right to see others: the
    ClusterRole userquota-view-all.
    """
    document = asyncio.run(_pools(asking))
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


async def _pools(asking: Asking) -> Document:
    async with connected(*asking) as client:
        return await client.pools()
