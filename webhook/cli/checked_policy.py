"""
Policies in files that a command needs, as they are or as ConfigMaps: every mistake is told, and ends it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

import click

from webhook.cli.inputs import InputError, read_inputs
from webhook.documents.mistake import Mistake
from webhook.documents.policy_config_map import POLICY_LABEL
from webhook.documents.policy_manifests import read_manifests
from webhook.documents.policy_notes import Facts, policy_notes
from webhook.documents.policy_text import PolicyReading, PolicyText, in_order, read_policy
from webhook.quota.policy import Policy

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def checked_policy(
    names: Iterable[str], *, exit_code: int, named: Iterable[str] = (), is_strict: bool = False
) -> Policy:
    """
    Return what files, folders with all below them, and `-` say as one policy.

    A file holds the text of a policy, or Kubernetes objects: of these the ConfigMaps with the label are policies, and
    those *named*. Notes and what is passed over are printed to standard error. A mistake ends the command with
    *exit_code*; if *is_strict*, a note, too. With 1 the mistakes are its answer, and are printed with file, line and
    column. With 2 they are what keeps it from an answer. Raises: InputError, which then names every mistake.
    """
    reading = policy_reading(names, named=named)
    notes = show_notes(reading)
    if reading.policy is None:
        lines = [str(each) for each in reading.mistakes]
        if exit_code == 2:
            raise InputError("\n".join(lines))
        for line in lines:
            click.echo(line)
        _end(len(lines), "mistake")
    if notes and is_strict:
        _end(notes, "note")
    return reading.policy


def policy_reading(names: Iterable[str], *, named: Iterable[str] = ()) -> PolicyReading:
    """Return what *names* say as one policy, with the mistakes in manifests. See `checked_policy`."""
    texts, found = _read(names, frozenset(named))
    reading = read_policy(texts)
    return replace(reading, policy=None, mistakes=in_order((*found, *reading.mistakes))) if found else reading


def show_notes(reading: PolicyReading) -> int:
    """
    Print the notes on a policy to standard error, and return how many there are.

    The exempt namespaces are those of the manifests.
    """
    exempt = _exempt() if reading.namespaces else frozenset()
    notes = policy_notes(reading, Facts(datetime.fromtimestamp(time.time(), UTC), exempt=exempt))
    for note in notes:
        click.echo(f"note: {note}", err=True)
    return len(notes)


def _exempt() -> frozenset[str]:
    from webhook.registration import default_exemptions, manifest_files  # noqa: PLC0415 - it takes long to import

    return default_exemptions(manifest_files.webhook_manifests())


def _read(names: Iterable[str], named: frozenset[str]) -> tuple[list[PolicyText], list[Mistake]]:
    """Return the policies in what *names* name, and the mistakes in manifests. Raises: InputError."""
    texts: list[PolicyText] = []
    mistakes: list[Mistake] = []
    seen: set[str] = set()
    for given in read_inputs(names, suffixes=_SUFFIXES, is_deep=True):
        manifests = read_manifests(given.text, source=given.source, named=named)
        if manifests is None:
            texts.append(PolicyText(given.source, given.text))
            continue
        texts += manifests.texts
        mistakes += manifests.mistakes
        seen |= manifests.names
        for each in manifests.passed_over:
            click.echo(f"passed over: {each}", err=True)
    if missing := sorted(named - seen):
        raise InputError(f"no ConfigMap {missing[0]} in what was given")
    if not texts and not mistakes:
        raise InputError(
            f'no policy in what was given: label its ConfigMap {POLICY_LABEL}: "true", or name it: --config-map'
        )
    return texts, mistakes


def _end(count: int, what: str) -> NoReturn:
    click.echo(f"{count} {what}{'s' if count > 1 else ''}", err=True)
    sys.exit(1)
