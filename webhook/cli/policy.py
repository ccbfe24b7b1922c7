"""
`userquota policy`: what is wrong with a policy, before it is in force.
"""

from __future__ import annotations

import click

from webhook.cli.checked_policy import checked_policy


@click.group("policy")
def command() -> None:
    """Work with policies."""


@command.command("validate")
@click.argument("paths", nargs=-1, required=True)
def validate(paths: tuple[str, ...]) -> None:
    """
    Check policy files as one policy: every mistake with file, line and column.

    Exit code 1 if there is a mistake, 2 if a file cannot be read.
    """
    checked_policy(paths, exit_code=1)
    click.echo("valid")
