"""
`userquota preflight`: what a policy would mean for a cluster, before userquota is installed in it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from webhook.cli.checked_policy import checked_policy
from webhook.cli.cluster import context_option, peoples_kubeconfig_option
from webhook.cli.preflight_document import document_of
from webhook.cli.preflight_tables import show_tables
from webhook.cli.printing import output_option, show_document
from webhook.settings import Settings
from webhook.wiring.application import SystemClock
from webhook.wiring.preflight import look_before


@click.command("preflight", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.option(
    "-f", "--filename", "names", multiple=True, required=True, help="The policy: file, folder or - for standard input."
)
@click.option(
    "--exempt", multiple=True, metavar="NAMESPACE", help="A namespace that your overlay exempts as well. Repeatable."
)
@peoples_kubeconfig_option
@context_option
@output_option
def command(
    *, names: tuple[str, ...], exempt: tuple[str, ...], kubeconfig: Path | None, context: str | None, output: str
) -> None:
    """
    Show what a policy would mean for a cluster as it is. Reads it with your own rights and changes nothing.

    What exists has no owner before the installation: the limits of namespaces, tenants and the cluster bind it, and
    defaults.unattributed. Objects with a stamp count for their owners. Who pays for the others once they are made anew
    is told as the webhook will decide: by owners of namespaces, delegates, and presets of sessions.

    Exit code 1 if a limit that is enforced is exceeded, by a sum or by one object, or would be by a sum once what
    nobody owns is made anew, or if the API server is too old; 2 if anything could not be read, which is named, or if
    the policy has mistakes, which are printed.
    """
    policy = checked_policy(names, exit_code=2)
    settings = Settings(kubeconfig=kubeconfig, context=context)
    report = asyncio.run(look_before(settings, policy, also_exempt=exempt, now=SystemClock().now()))
    if output == "table":
        show_tables(report)
    else:
        show_document(document_of(report), output)
    if not report.is_complete:
        sys.exit(2)
    if not report.is_fine:
        sys.exit(1)
