"""
Policies in files that a command needs: every mistake is printed, and ends it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NoReturn

import click

from webhook.cli.inputs import read_inputs
from webhook.documents.policy_notes import Known, policy_notes
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.quota.policy import Policy


def checked_policy(names: Iterable[str], *, exit_code: int, is_strict: bool = False) -> Policy:
    """
    Return what files, folders and `-` say as one policy; print notes to standard error.

    With a mistake, print every one with file, line and column, and end with *exit_code*; if *is_strict*, with a note,
    too. Raises: InputError.
    """
    reading = read_policy(PolicyText(given.source, given.text) for given in read_inputs(names))
    notes = policy_notes(reading, Known(datetime.fromtimestamp(time.time(), UTC)))
    for note in notes:
        click.echo(f"note: {note}", err=True)
    for mistake in reading.mistakes:
        click.echo(str(mistake))
    if reading.policy is None:
        _end(len(reading.mistakes), "mistake", exit_code)
    if notes and is_strict:
        _end(len(notes), "note", exit_code)
    return reading.policy


def _end(count: int, what: str, exit_code: int) -> NoReturn:
    click.echo(f"{count} {what}{'s' if count > 1 else ''}", err=True)
    sys.exit(exit_code)
