"""
`userquota check`: whether manifests would fit, before they are submitted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from webhook.cli.check_reports import show_check, show_check_document
from webhook.cli.checked_policy import checked_policy
from webhook.cli.inputs import InputError, read_input_objects
from webhook.cli.manifests import Manifests, hint, read_manifests
from webhook.cli.printing import output_option
from webhook.quota.objects import UserInfo
from webhook.quota.subject import AUTHENTICATED, groups_of

if TYPE_CHECKING:
    from webhook.wiring.manifest_check import Check


@click.command("check")
@click.option("-f", "--filename", "names", multiple=True, required=True, help="File, folder or - for standard input.")
@click.option("-R", "--recursive", is_flag=True, help="Read folders with all below them.")
@click.option("--policy", "policies", multiple=True, required=True, help="File or folder with the policy. Repeatable.")
@click.option(
    "--usage",
    multiple=True,
    metavar="FILE",
    help="Objects of the cluster, saved with kubectl get -A -o json. Repeatable. Without it nothing is used.",
)
@click.option("--as", "user", required=True, metavar="USER", help="Who submits them.")
@click.option("--as-group", "groups", multiple=True, metavar="GROUP", help="A group of the user. Repeatable.")
@click.option("-n", "--namespace", default="", help="Of objects that name none.  [default: default]")
@click.option("--continue", "goes_on", is_flag=True, help="Judge the rest if something cannot be read.")
@output_option
def command(  # noqa: PLR0913, PLR0917 - click's options
    names: tuple[str, ...],
    recursive: bool,  # noqa: FBT001
    policies: tuple[str, ...],
    usage: tuple[str, ...],
    user: str,
    groups: tuple[str, ...],
    namespace: str,
    goes_on: bool,  # noqa: FBT001
    output: str,
) -> None:
    """
    Check whether objects in files would fit: one after another, each on what those before it leave.

    A workload counts by its pods. The code of the webhook decides, under a policy in files. See docs/check.md.

    Exit code 1 if something does not fit, 2 if anything cannot be read.
    """
    policy = checked_policy(policies, exit_code=2)
    manifests = read_manifests(names, is_deep=recursive)
    for each in manifests.passed_over:
        click.echo(f"passed over: {each}", err=True)
    _end_if_unreadable(manifests.mistakes, goes_on=goes_on)
    if not manifests.objects:
        raise InputError("no object that can be read in what was given")
    saved = read_input_objects(usage)
    from webhook.wiring.manifest_check import Author, check  # noqa: PLC0415 - it takes long to import

    author = Author(UserInfo(user, (*groups_of(user, groups), AUTHENTICATED)), namespace)
    came = asyncio.run(check(manifests.objects, author, policy, saved, datetime.fromtimestamp(time.time(), UTC)))
    unreadable = list(_unreadable(came))
    _end_if_unreadable(unreadable, goes_on=goes_on)
    for note in came.notes:
        click.echo(f"note: {note}", err=True)
    if output == "table":
        show_check(came)
    else:
        show_check_document(came, output)
    if code := _exit_code(came, manifests, unreadable):
        sys.exit(code)


def _exit_code(came: Check, manifests: Manifests, unreadable: Sequence[str]) -> int:
    if manifests.mistakes or unreadable:
        return 2
    return 1 if any(each.verdict is not None and not each.verdict.fits for each in came.objects) else 0


def _unreadable(came: Check) -> Iterable[str]:
    """Yield a line for each object that cannot be judged because of what is in it."""
    for each in came.objects:
        if each.unreadable:
            written = each.written
            place = f"{written.source}:{written.position.line}"
            yield f"{place}: {written.kind} {written.name}: {each.unreadable}{hint(written.body)}"


def _end_if_unreadable(mistakes: Sequence[str], *, goes_on: bool) -> None:
    """Print *mistakes* if it *goes_on*. Raises: InputError with them if not."""
    if mistakes and not goes_on:
        raise InputError("\n".join(mistakes))
    for each in mistakes:
        click.echo(each, err=True)
