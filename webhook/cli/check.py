"""
`userquota check`: whether manifests would fit, before they are submitted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
from msgspec import structs

from webhook.admission.check_status import DOES_NOT_FIT, NO_VERDICT, CheckStatus, status_of
from webhook.admission.manifests import Author
from webhook.cli.check_holders import Held, who_holds
from webhook.cli.check_reports import show_check, show_check_document
from webhook.cli.checked_policy import checked_policy
from webhook.cli.cluster import Asking, asking_options
from webhook.cli.inputs import InputError, read_input_objects
from webhook.cli.manifests import NOTHING_LEFT, Manifests, end_if_unreadable, given_manifests, hint
from webhook.cli.printing import output_option
from webhook.cli.view_client import ViewError, connected
from webhook.documents.object_text import RawObject
from webhook.kube.api import KubeconfigError
from webhook.quota.objects import UserInfo
from webhook.quota.policy import Policy
from webhook.quota.subject import AUTHENTICATED, groups_of


@click.command("check", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.option("-f", "--filename", "names", multiple=True, required=True, help="File, folder or - for standard input.")
@click.option("-R", "--recursive", is_flag=True, help="Read folders with all below them.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    allow_from_autoenv=False,
    help="File or folder with a policy, to decide by that and without a cluster. Repeatable.",
)
@click.option(
    "--usage",
    multiple=True,
    allow_from_autoenv=False,
    metavar="FILE",
    help="With --policy: objects of the cluster, saved with kubectl get -A -o json. Without it nothing is used.",
)
@click.option(
    "-n",
    "--namespace",
    default="",
    allow_from_autoenv=False,
    help="Of objects that name none.  [default: that of the context, or default]",
)
@click.option("--continue", "goes_on", is_flag=True, help="Judge the rest if something cannot be read.")
@asking_options
@output_option
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    names: tuple[str, ...],
    recursive: bool,
    policies: tuple[str, ...],
    usage: tuple[str, ...],
    namespace: str,
    goes_on: bool,
    asking: Asking,
    output: str,
) -> None:
    """
    Check whether objects in files would fit: one after another, each on what those before it leave.

    A workload counts by its pods. The webhook of the cluster decides by what is used now, and nothing is stored. With
    --policy its code decides here, under a policy in files, for the user of --as. See docs/check.md.

    Exit code 1 if something does not fit, 2 if anything cannot be read or there is no answer.
    """
    if policies and asking.acting_as is None:
        raise click.UsageError("--policy goes with --as: who would submit them?")
    if usage and not policies:
        raise click.UsageError("--usage goes with --policy: a cluster knows what is used")
    policy = checked_policy(policies, exit_code=2) if policies else None
    holders: tuple[Held, ...] = ()
    manifests = given_manifests(names, is_deep=recursive, goes_on=goes_on)
    if not manifests.objects:
        raise InputError(NOTHING_LEFT)
    if policy is None or asking.acting_as is None:
        try:
            status, holders = asyncio.run(_live(manifests.objects, asking, namespace))
        except (KubeconfigError, ViewError) as error:
            raise InputError(f"{error}\nwith --policy and --as no cluster is asked, see docs/check.md") from error
    else:
        user, groups = asking.acting_as
        author = Author(UserInfo(user, (*groups_of(user, groups), AUTHENTICATED)), namespace)
        status = _by_policy(manifests.objects, author, policy, usage)
    unjudged = list(_unjudged(status, manifests.objects))
    end_if_unreadable(unjudged, goes_on=goes_on)
    for note in status.notes:
        click.echo(f"note: {note}", err=True)
    if output == "table":
        show_check(status, holders)
    else:
        show_check_document(status, holders, output)
    if code := _exit_code(status, manifests, unjudged):
        sys.exit(code)


async def _live(objects: Sequence[RawObject], asking: Asking, namespace: str) -> tuple[CheckStatus, tuple[Held, ...]]:
    """Return what the webhook of the cluster says, and who holds what is taken. Raises: ViewError, KubeconfigError."""
    async with connected(*asking) as client:
        status = await client.check(objects, namespace or client.namespace)
        try:
            holders = await who_holds(client, status)
        except ViewError as error:  # the verdict stands without it
            holders = ()
            click.echo(f"note: who holds what is taken is not known: {error}", err=True)
    places = zip(status.items, objects, strict=True)
    return structs.replace(status, items=tuple(structs.replace(each, place=of.place) for each, of in places)), holders


def _by_policy(objects: Sequence[RawObject], author: Author, policy: Policy, usage: tuple[str, ...]) -> CheckStatus:
    """Return what the code of the webhook says beside what was saved. Raises: InputError, ManifestError."""
    from webhook.wiring.manifest_check import check  # noqa: PLC0415 - it takes long to import

    saved = read_input_objects(usage)
    return status_of(asyncio.run(check(objects, author, policy, saved, datetime.fromtimestamp(time.time(), UTC))))


def _exit_code(status: CheckStatus, manifests: Manifests, unjudged: Sequence[str]) -> int:
    if manifests.mistakes or unjudged:
        return 2
    return 1 if any(each.verdict == DOES_NOT_FIT for each in status.items) else 0


def _unjudged(status: CheckStatus, objects: Iterable[RawObject]) -> Iterable[str]:
    """Yield a line for each object on which there is no verdict because of what is in it, or who asks."""
    for each, written in zip(status.items, objects, strict=True):
        if each.verdict == NO_VERDICT:
            yield f"{written.title}: {each.texts[0]}{hint(written.body)}"
