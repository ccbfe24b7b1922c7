"""
Policies in files that a command needs: every mistake is printed, and ends it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from webhook.cli.inputs import read_inputs
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.policy import Policy


def checked_policy(names: Iterable[str], *, exit_code: int) -> Policy:
    """
    Return what files, folders and `-` say as one policy; print notes to standard error.

    With a mistake, print every one with file, line and column, and end with *exit_code*. Raises: InputError.
    """
    reading = read_policy(PolicyText(given.source, given.text) for given in read_inputs(names))
    for note in reading.notes:
        click.echo(f"note: {note}", err=True)
    for mistake in reading.mistakes:
        click.echo(str(mistake))
    if reading.policy is None:
        count = len(reading.mistakes)
        click.echo(f"{count} mistake{'s' if count > 1 else ''}", err=True)
        sys.exit(exit_code)
    return reading.policy
