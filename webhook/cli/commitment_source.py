"""
`userquota commitments sync`: takes commitments over from another system, that writes a file or answers by HTTPS.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from webhook.cli.commitment_options import SETTINGS, Wanted, change_options, every_option, given
from webhook.cli.commitment_tables import show_edited
from webhook.cli.errors import tell
from webhook.cli.inputs import STANDARD_INPUT, InputError, read_inputs
from webhook.cli.logs import LEVELS, configure_logging
from webhook.commitment_list import CommitmentList, CommitmentListError
from webhook.documents.commitment_text import CommitmentTextError, ListedCommitments, read_listed
from webhook.quota.commitment_changes import ChangeError
from webhook.wiring.commitment_editor import connected_editor
from webhook.wiring.commitment_following import connected_follower
from webhook.wiring.commitment_source import TakenOver, take_over

Read = Callable[[], Awaitable[ListedCommitments]]


@click.command("sync", context_settings=SETTINGS)
@click.argument("source")
@every_option
@given(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with the token that is shown to an https:// SOURCE. It is read again each time.",
)
@given(
    "--ca-file",
    type=click.Path(path_type=Path),
    help="A file with the authorities of an https:// SOURCE. Default: those of this machine.",
)
@change_options
def command(
    *, source: str, seconds: float | None, token_file: Path | None, ca_file: Path | None, wanted: Wanted
) -> None:
    """
    Make commitments as SOURCE lists them: a document with commitments, as in a policy. SOURCE is a file, - for
    standard input, or an address that begins with https://.

    An entry that cannot be taken over is left out, told with its reason, and holds back no other. What is not listed
    any more stays: nothing is released because a source fails or is cut short. Exit code 1 if anything was left out.

    With --every it goes on until it is stopped, and writes a log instead.
    """
    if wanted.force:
        raise click.UsageError("--force: entries are taken over as far as there is room")
    read = _reading(source, token_file, ca_file)
    if seconds is not None:
        if wanted.dry_run or source == STANDARD_INPUT:
            raise click.UsageError("--every: goes without --dry-run, and with a file or an address")
        configure_logging(LEVELS["info"])
        asyncio.run(_follow(read, wanted, seconds))
        return
    try:
        found = asyncio.run(_take_over(read, wanted))
    except CommitmentTextError as error:
        raise click.UsageError(str(error)) from error
    except ChangeError as error:
        tell(str(error))
        sys.exit(1)
    show_edited(found.edited, wanted.output, dry_run=wanted.dry_run)
    for name, why in sorted(found.left_out.items()):
        click.echo(f"left out: {name}: {why}", err=True)
    for name in found.missing:
        click.echo(f"kept, although it is not listed any more: {name}", err=True)
    if found.left_out:
        sys.exit(1)


def _reading(source: str, token_file: Path | None, ca_file: Path | None) -> Read:
    """Return what reads the source. Raises: UsageError."""
    if "://" not in source:
        if token_file is not None or ca_file is not None:
            raise click.UsageError("--token-file, --ca-file: go with an https:// SOURCE")
        return lambda: asyncio.to_thread(_read_file, source)
    try:
        fetched = CommitmentList(source, token_file=token_file, ca_file=ca_file)
    except CommitmentListError as error:
        raise click.UsageError(f"SOURCE: {error}") from error

    async def fetch() -> ListedCommitments:
        text = await fetched.read()
        return await asyncio.to_thread(read_listed, text, source=fetched.name)

    return fetch


def _read_file(source: str) -> ListedCommitments:
    found = list(read_inputs([source]))
    if len(found) != 1:
        raise InputError(f"{source}: expected one file, not a folder with {len(found)}")
    return read_listed(found[0].text, source=found[0].source)


async def _take_over(read: Read, wanted: Wanted) -> TakenOver:
    listed = await read()
    async with connected_editor(*wanted.asking, namespace=wanted.namespace) as editor:
        return await take_over(editor, listed, dry_run=wanted.dry_run)


async def _follow(read: Read, wanted: Wanted, seconds: float) -> None:
    async with connected_follower(*wanted.asking, namespace=wanted.namespace, read=read) as follower:
        await follower.run(seconds)
