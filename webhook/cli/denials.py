"""
`userquota denials`: what was refused to controllers lately, by the Events that userquota writes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import click

from webhook.cli.cluster import Asking, asking_options
from webhook.cli.printing import age, output_in, show_document, show_table
from webhook.cli.watching import run, show_changes, watch_option
from webhook.kube.api import KubernetesApi
from webhook.kube.denial_list import ToldDenial, list_denials
from webhook.quota import durations

REASONS = ("QuotaExceeded", "NeverFits", "FieldValueRequired", "BelowMinimum", "OffShape", "Forbidden")
"""Reasons of Events: those of the causes of a refusal, and that of one without a cause. See docs/messages.md."""

NOTE = (
    "These were refused to controllers, as far as the cluster keeps Events, an hour by default. Whoever creates an "
    "object themselves is told at once, and not listed."
)

_NANOS = 1_000_000_000
_WIDTH = 80
"""Characters of a message in a table that is not wide."""


@click.command("denials", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.option("-n", "--namespace", allow_from_autoenv=False, help="Default: the namespace of the kubeconfig's context.")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="In all namespaces.")
@click.option("--since", metavar="DURATION", help="Only what was refused within, such as 30m or 1h.")
@click.option(
    "--reason", "reasons", type=click.Choice(REASONS, case_sensitive=False), multiple=True, help="Only these."
)
@watch_option
@asking_options
@output_in("table", "wide", "json", "yaml")
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    namespace: str | None,
    everywhere: bool,
    since: str | None,
    reasons: tuple[str, ...],
    watch: bool,
    asking: Asking,
    output: str,
) -> None:
    """
    List what was refused to controllers, the newest first.

    These are the Events that userquota writes on the Deployment, CronJob or session above what was refused. Kubernetes
    keeps Events for an hour by default; what is older is not known any more. Whoever creates an object themselves reads
    the refusal at once, and is not listed. COUNT is told once a minute. It takes the right to list Events.
    """
    if everywhere and namespace:
        raise click.UsageError("give one of -n and -A")
    seconds = _seconds(since)

    def show(found: Sequence[ToldDenial]) -> None:
        now = int(time.time())
        listed = [
            each
            for each in found
            if (not reasons or each.reason in reasons) and (seconds is None or _passed(each, now) <= seconds)
        ]
        if output in ("json", "yaml"):
            show_document({"items": [_item(each) for each in listed]}, output)
            return
        if listed:
            _show(listed, now, wide=output == "wide")
        else:
            click.echo("No refusals found.", err=True)
        click.echo(NOTE, err=True)

    run(
        lambda: _show_denials(asking, None if everywhere else (namespace or ""), show, watch=watch), output, watch=watch
    )


async def _show_denials(
    asking: Asking, namespace: str | None, show: Callable[[Sequence[ToldDenial]], None], *, watch: bool
) -> None:
    """Show the denials in *namespace*, in that of the context if it is empty, in all for None."""
    kubeconfig, context, acting_as = asking
    api = await KubernetesApi.connect(kubeconfig=kubeconfig, context=context, acting_as=acting_as)
    try:
        wanted = "" if namespace is None else namespace or api.namespace
        await show_changes(lambda: list_denials(api, wanted), show, watch=watch)
    finally:
        await api.close()


def _seconds(since: str | None) -> int | None:
    try:
        return None if since is None else durations.parse(since) // _NANOS
    except durations.DurationError as error:
        raise click.UsageError(f"--since: {error}") from error


def _show(listed: Iterable[ToldDenial], now: int, *, wide: bool) -> None:
    show_table(
        ("LAST SEEN", "COUNT", "NAMESPACE", "OBJECT", "OWNER", "REASON", "MESSAGE"),
        [
            (
                age(_passed(each, now)) if each.last else "-",
                str(each.count),
                each.namespace,
                _printable(f"{each.kind.lower()}/{each.name}"),
                _printable(each.owner) or "-",
                _printable(each.reason),
                _printable(each.message if wide else _cut(each.message)),
            )
            for each in listed
        ],
    )


def _passed(each: ToldDenial, now: int) -> int:
    """Return the seconds since it was denied last; since ever, if that is not known."""
    if not each.last:
        return now
    return now - int(datetime.fromisoformat(each.last).replace(tzinfo=UTC).timestamp())


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _printable(text: str) -> str:
    """Return *text* without what would steer a terminal: others may write such Events, too."""
    return "".join(each if each.isprintable() else " " for each in text)


def _item(each: ToldDenial) -> dict[str, object]:
    return {
        "namespace": each.namespace,
        "object": {"kind": each.kind, "name": each.name},
        "owner": each.owner or None,
        "reason": each.reason,
        "message": each.message,
        "count": each.count,
        "firstSeen": each.first or None,
        "lastSeen": each.last or None,
    }
