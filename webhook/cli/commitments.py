"""
`userquota commitments list` and `show`: what was promised to whom, how much of it is in use, and by what.

The commands that change it are in `commitment_edits`.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from operator import itemgetter

import click

from webhook.cli.cluster import Asking, asking_options
from webhook.cli.commitment_edits import COMMANDS
from webhook.cli.commitment_offers import OFFERS
from webhook.cli.commitment_options import given, period_in
from webhook.cli.commitment_source import command as sync
from webhook.cli.commitment_tables import ONGOING, offered_until
from webhook.cli.printing import output_in, show_document, show_table
from webhook.cli.view_client import Document, NamedCommitment, ViewClient, commitments_in, connected
from webhook.cli.watching import show_view, watch_option
from webhook.quota.periods import Period
from webhook.wiring.commitment_editor import now


@click.group("commitments")
def command() -> None:
    """Show what was promised of classes of nodes, and change it. See docs/commitments.md."""


for _each in (*COMMANDS, *OFFERS, sync):
    command.add_command(_each)


@command.command("list", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.option("--holder", metavar="SUBJECT", help="Only those of tenant/NAME, group/NAME, user/NAME or namespace/NAME.")
@given(
    "--ending-within",
    "period",
    metavar="PERIOD",
    callback=period_in,
    help="Only those that end within, as '30 days'; the first to end first.",
)
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@watch_option
@asking_options
@output_in("table", "wide", "json", "yaml", "name")
def listed(  # noqa: PLR0913 - one parameter for each option
    *, holder: str | None, period: Period | None, everything: bool, watch: bool, asking: Asking, output: str
) -> None:
    """
    List commitments, with the state by the clock, and what the holder uses in the pool beside the amounts.

    USED counts for all commitments of a holder in one pool together; what is beyond them is on demand. OFFERED says
    until when one may be accepted. It takes the right to see others: the ClusterRole userquota-view-all.
    """

    def show(document: Document, output: str) -> None:
        found = commitments_in(document)
        chosen = [each for each in found if holder in (None, each.spec.holder)]
        shown = [each for each in chosen if everything or each.status.state in ONGOING]
        _show_listed(document, shown if period is None else _ending(shown, period), output)

    show_view(asking, ViewClient.commitments, show, output, watch=watch)


def _show_listed(document: Document, shown: list[NamedCommitment], output: str) -> None:
    if output in ("json", "yaml"):
        items_by_name = {each["metadata"]["name"]: each for each in document.get("items", ())}
        items = [items_by_name[each.name] for each in shown]
        show_document({**document, "items": items}, output)
    elif output == "name":
        for each in shown:
            click.echo(each.name)
    elif shown:
        _show(shown, wide=output == "wide")
    else:
        click.echo("No commitments found.", err=True)


@command.command("show", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.argument("name")
@asking_options
@output_in("table", "json", "yaml")
def shown(*, name: str, asking: Asking, output: str) -> None:
    """
    Show the objects that a commitment covers, the oldest first, and how much of each.

    What its holder uses beyond it is on demand, or covered by another one. It takes the right to see others: the
    ClusterRole userquota-view-all.
    """
    document = asyncio.run(_commitment(asking, name))
    if output != "table":
        show_document(document, output)
        return
    [found] = commitments_in(document)
    _show([found], wide=False)
    rows = [
        (each.resource, each.namespace, each.name, each.owner, _amounts(each.amounts)) for each in found.status.covers
    ]
    click.echo()
    if rows:
        show_table(("COVERS", "NAMESPACE", "NAME", "OWNER", "AMOUNTS"), rows)
    else:
        click.echo("It covers nothing.", err=True)


def _ending(shown: list[NamedCommitment], period: Period) -> list[NamedCommitment]:
    """Return those that end within *period* from now on, the first to end first."""
    last = period.after(now())
    ending = [(datetime.fromisoformat(each.spec.until), each.name, each) for each in shown if each.spec.until]
    return [each for until, _, each in sorted(ending, key=itemgetter(0, 1)) if until <= last]


def _show(shown: list[NamedCommitment], *, wide: bool) -> None:
    heads = ["NAME", "HOLDER", "POOL", "STATE", "AMOUNTS", "USED", "UNTIL", "OFFERED"]
    rows = [
        [
            each.name,
            each.spec.holder,
            ":".join(filter(None, (each.spec.node_class, each.spec.zone))),
            each.status.state,
            _amounts(each.spec.amounts),
            _amounts(each.status.used),
            each.spec.until or "-",
            offered_until(each, now()),
            *((each.spec.begins or "-", each.status.place or "-") if wide else ()),
        ]
        for each in shown
    ]
    show_table([*heads, *(("FROM", "PLACE") if wide else ())], rows)


def _amounts(amounts: dict[str, str]) -> str:
    return ",".join(f"{name}={amount}" for name, amount in sorted(amounts.items()))


async def _commitment(asking: Asking, name: str) -> Document:
    async with connected(*asking) as client:
        return await client.commitment(name)
