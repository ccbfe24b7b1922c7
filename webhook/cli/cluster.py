"""
The options by which commands name a cluster: the same words and the same defaults everywhere.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from webhook.kube.api import ActingAs

kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar=["USERQUOTA_KUBECONFIG", "KUBECONFIG"],
    help="The cluster. Default: $KUBECONFIG, else the cluster that this runs in.",
)


def _of_people(_: click.Context, __: click.Parameter, given: Path | None) -> Path | None:
    """Return kubectl's own kubeconfig where none is named, unless this runs in a pod."""
    usual = Path.home() / ".kube" / "config"
    if given is not None or "KUBERNETES_SERVICE_HOST" in os.environ or not usual.exists():
        return given
    return usual


peoples_kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar=["USERQUOTA_KUBECONFIG", "KUBECONFIG"],
    callback=_of_people,
    help="The cluster. Default: $KUBECONFIG, which may list several, else ~/.kube/config; in a pod its own cluster.",
)
"""As kubectl finds a cluster. A server is not to find one by chance: it has `kubeconfig_option`."""

context_option = click.option("--context", help="The context of the kubeconfig. Default: its current one.")


class Asking(NamedTuple):
    """Which cluster is asked, and for whom: None for the user of the kubeconfig."""

    kubeconfig: Path | None
    context: str | None
    acting_as: ActingAs | None


def asking_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of kubectl that say which cluster is asked, and for whom; *function* gets them as `asking`."""

    @peoples_kubeconfig_option
    @context_option
    @click.option("--as", "user", metavar="USER", help="Ask as this user. It takes the right to impersonate.")
    @click.option("--as-group", "groups", multiple=True, metavar="GROUP", help="And in this group. Repeatable.")
    @wraps(function)
    def asks(
        kubeconfig: Path | None, context: str | None, user: str | None, groups: tuple[str, ...], **others: object
    ) -> None:
        function(asking=Asking(kubeconfig, context, _acting_as(user, groups)), **others)

    return asks


def _acting_as(user: str | None, groups: tuple[str, ...]) -> ActingAs | None:
    """Return whom to ask as. Raises: UsageError."""
    if user is None:
        if groups:
            raise click.UsageError("--as-group goes with --as")
        return None
    for option, value in (("--as", user), *(("--as-group", group) for group in groups)):
        if not value or not value.isprintable():
            raise click.UsageError(f"{option}: expected a name")
    from webhook.kube.api import ActingAs  # noqa: PLC0415 - half a second that what asks no cluster need not pay

    return ActingAs(user, groups)


_SUBJECTS = ("user", "group", "tenant", "namespace", "serviceaccounts")


def is_subject(written: str | None) -> bool:
    """Whether *written* is how a subject is called, or nothing is."""
    kind, _, name = (written or "cluster").partition("/")
    return written in (None, "cluster") or bool(kind in _SUBJECTS and name)


def subject_in(written: str | None) -> str | None:
    """Return a subject as it is written, None if there is none. Raises: UsageError for what no subject is called."""
    if written is None or is_subject(written):
        return written
    kind, slash, name = written.partition("/")
    if not slash:
        raise click.UsageError(f"{written} is no subject: did you mean user/{written}?")
    close = difflib.get_close_matches(kind, _SUBJECTS, n=1)
    known = f"expected {'/NAME, '.join(_SUBJECTS)}/NAME or cluster"
    meant = f"did you mean {close[0]}/{name}?" if close and name else known
    raise click.UsageError(f"{written} is no subject: {meant}")


subject_argument = click.argument("subject", required=False, callback=lambda _, __, written: subject_in(written))
"""Whose quotas are asked for."""


def login(_: click.Context, __: click.Parameter, written: str | None) -> str | None:
    """Return a name as one logs in. Raises: UsageError for that of a subject: nobody logs in as user/alice."""
    kind, slash, name = (written or "").partition("/")
    if slash and kind in _SUBJECTS:
        why = f"is a subject: name the login, {name}" if kind == "user" else "cannot pay"
        raise click.UsageError(f"{written} {why}")
    return written


namespace_option = click.option(
    "--namespace", default="userquota-system", show_default=True, help="Where userquota is installed."
)
