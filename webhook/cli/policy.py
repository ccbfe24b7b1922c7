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
@click.option("--strict", is_flag=True, help="Take notes for mistakes: exit with 1 if there is one.")
def validate(paths: tuple[str, ...], *, strict: bool) -> None:
    """
    Check policy files as one policy: every mistake with file, line and column.

    What is valid and surely not meant is noted. Exit code 1 if there is a mistake, 2 if a file cannot be read.
    """
    checked_policy(paths, exit_code=1, is_strict=strict)
    click.echo("valid")
