"""
`userquota commitments sync`: takes commitments over from a file that another system writes.
"""

from __future__ import annotations

import asyncio
import sys

import click

from webhook.cli.commitment_options import SETTINGS, Wanted, change_options
from webhook.cli.commitment_tables import show_edited
from webhook.cli.inputs import read_inputs
from webhook.documents.commitment_text import CommitmentTextError, ListedCommitments, read_listed
from webhook.wiring.commitment_editor import connected_editor
from webhook.wiring.commitment_source import TakenOver, take_over


@click.command("sync", context_settings=SETTINGS)
@click.argument("file")
@change_options
def command(*, file: str, wanted: Wanted) -> None:
    """
    Make commitments as FILE lists them, or - for standard input: a document with commitments, as in a policy.

    An entry that cannot be taken over is left out, told with its reason, and holds back no other. What is not listed
    any more stays: nothing is released because a source fails or is cut short. Exit code 1 if anything was left out.
    """
    if wanted.force:
        raise click.UsageError("--force: entries are taken over as far as there is room")
    [given] = read_inputs([file])
    try:
        listed = read_listed(given.text, source=given.source)
    except CommitmentTextError as error:
        raise click.UsageError(str(error)) from error
    found = asyncio.run(_take_over(listed, wanted))
    show_edited(found.edited, wanted.output, dry_run=wanted.dry_run)
    left_out = {**found.left_out, **listed.mistakes}
    for name, why in sorted(left_out.items()):
        click.echo(f"left out: {name}: {why}", err=True)
    for name in found.missing:
        click.echo(f"kept, although it is not listed any more: {name}", err=True)
    if left_out:
        sys.exit(1)


async def _take_over(listed: ListedCommitments, wanted: Wanted) -> TakenOver:
    async with connected_editor(*wanted.asking, namespace=wanted.namespace) as editor:
        return await take_over(editor, listed.commitments, dry_run=wanted.dry_run, present=listed.mistakes)
