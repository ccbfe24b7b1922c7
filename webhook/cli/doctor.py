"""
`userquota doctor`: what is wrong with a cluster or an installation, and what to do about it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import click

from webhook.cli.cluster import context_option, namespace_option, peoples_kubeconfig_option
from webhook.cli.printing import output_option, show_document
from webhook.doctor.checkup import check_up, exit_code
from webhook.doctor.findings import Finding, Verdict
from webhook.settings import Settings
from webhook.wiring.application import SystemClock
from webhook.wiring.doctor import look_at


@click.command("doctor", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@peoples_kubeconfig_option
@context_option
@namespace_option
@click.option(
    "--probe-namespace",
    default="default",
    show_default=True,
    metavar="NAMESPACE",
    help="Where to try a pod in a dry run: a namespace that is not exempt.",
)
@output_option
def command(*, kubeconfig: Path | None, context: str | None, namespace: str, probe_namespace: str, output: str) -> None:
    """
    Check a cluster and an installation, before and after: each check with what was found, and the fix.

    It reads with your own rights and changes nothing. Two pods are created in dry runs, which are judged and not
    stored: one of userquota itself, and one of anybody, to see that API servers ask userquota.

    Exit code 1 if something is wrong, else 2 if something could not be looked at, else 0.
    """
    settings = Settings(kubeconfig=kubeconfig, context=context, namespace=namespace)
    facts = asyncio.run(look_at(settings, probe_namespace=probe_namespace, now=SystemClock().now()))
    findings = check_up(facts)
    if output == "table":
        _show(findings)
    else:
        show_document(_document(findings), output)
    sys.exit(exit_code(findings))


def _show(findings: tuple[Finding, ...]) -> None:
    width = max(len(each.check) for each in findings)
    for each in findings:
        click.echo(f"{each.verdict:<7}  {each.check:<{width}}  {each.found}")
        if each.fix:
            click.echo(f"{'':<7}  {'':<{width}}  -> {each.fix}")
    counts = Counter(each.verdict for each in findings)
    click.echo("\n" + ", ".join(f"{counts[each]} {each}" for each in Verdict if counts[each]))


def _document(findings: tuple[Finding, ...]) -> dict[str, object]:
    return {
        "exitCode": exit_code(findings),
        "checks": [
            {
                "id": each.check,
                "verdict": each.verdict.value,
                "found": each.found,
                "fix": each.fix,
                "details": list(each.details),
            }
            for each in findings
        ],
    }
