"""
`userquota policy test`: whether a policy decides as its admins expect, for the CI of the repository that it is kept in.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from webhook.cli.case_reports import REPORTS, Tested, annotation
from webhook.cli.checked_policy import policy_reading, show_notes
from webhook.cli.inputs import STANDARD_INPUT, Input, InputError, read_inputs
from webhook.documents.case_text import Case, read_cases
from webhook.documents.policy_text import PolicyReading
from webhook.quota.policy import Policy


@click.command("test")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Choice(tuple(REPORTS)), default="text", show_default=True)
def command(paths: tuple[str, ...], output: str) -> None:
    """
    Run the tests of policies: each case is decided as the webhook decides, over the usage that it gives.

    A folder stands for the files in it. Paths in a file are relative to it. See docs/policy-tests.md.

    Exit code 1 if a case fails or cannot be run, 2 if a file has mistakes, or cannot be read: nothing is run then.
    """
    read = [_read(given, output) for given in read_inputs(paths)]
    if not all(read):
        sys.exit(2)
    from webhook.wiring.policy_cases import run_cases  # noqa: PLC0415 - it takes long to import

    tested = []
    for each in read:
        assert each is not None  # noqa: S101 - see above
        source, cases, policy = each
        outcomes = asyncio.run(run_cases(cases, policy))
        tested += [Tested(source, case, outcome) for case, outcome in zip(cases, outcomes, strict=True)]
    for line in REPORTS[output](tested):
        click.echo(line)
    if not all(each.has_passed for each in tested):
        sys.exit(1)


def _read(given: Input, output: str) -> tuple[str, tuple[Case, ...], Policy] | None:
    """Return the cases of a file and their policy; None after printing its mistakes. Raises: InputError."""
    around = Path() if given.source == "stdin" else Path(given.source).parent
    reading = read_cases(
        given.text,
        source=given.source,
        read_text=partial(_text_at, around),
        read_policies=partial(_policies_at, around),
    )
    show_notes(reading.policy)
    for mistake in reading.mistakes:
        click.echo(str(mistake), err=output == "junit")
        if output == "github":
            click.echo(annotation(mistake.source, mistake.position, str(mistake)))
    if reading.mistakes or reading.policy.policy is None:
        return None
    return given.source, reading.cases, reading.policy.policy


def _text_at(around: Path, name: str) -> tuple[str, str]:
    """Return a file beside a test. Raises: InputError."""
    path = around / name
    if name == STANDARD_INPUT or path.is_dir():
        raise InputError(f"{path}: expected a file")
    (given,) = read_inputs([str(path)])
    return given


def _policies_at(around: Path, names: Sequence[str]) -> PolicyReading:
    """Return what files and folders beside a test say as one policy. Raises: InputError."""
    if STANDARD_INPUT in names:
        raise InputError("the policy of a test is in files")
    return policy_reading(str(around / name) for name in names)
