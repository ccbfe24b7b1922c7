"""
`userquota policy`: what is wrong with a policy, before it is in force.
"""

from __future__ import annotations

import sys

import click

from webhook.cli.inputs import read_inputs
from webhook.documents.policy_text import PolicyText, read_policy


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
    reading = read_policy(PolicyText(given.source, given.text) for given in read_inputs(paths))
    for note in reading.notes:
        click.echo(f"note: {note}", err=True)
    for mistake in reading.mistakes:
        click.echo(str(mistake))
    if reading.mistakes:
        count = len(reading.mistakes)
        click.echo(f"{count} mistake{'s' if count > 1 else ''}", err=True)
        sys.exit(1)
    click.echo("valid")
