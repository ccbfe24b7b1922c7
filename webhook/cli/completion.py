"""
`kubectl_complete-userquota`: what may follow on the command line of `kubectl userquota`, as kubectl asks for it.

kubectl runs it with the words behind `userquota`, the last of which is to be completed and may be empty. It expects a
completion a line, with a description behind a tab, and at last a directive of cobra behind a colon.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click
from click.shell_completion import ShellComplete

from webhook.cli import group

_FILES: Final = 0
"""Directive: without a completion the shell completes the names of files."""

_NO_FILES: Final = 4


def main() -> None:
    """Print the completions of the arguments of this process."""
    for line in completions(sys.argv[1:]):
        click.echo(line)


def completions(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the lines that kubectl expects for *arguments*; where nothing is known the shell completes files."""
    *words, incomplete = arguments or ("",)
    found = ShellComplete(group, {}, "userquota", "").get_completions(words, incomplete)
    known = [each for each in found if each.type == "plain"]
    for each in known:
        about = " ".join((each.help or "").split())
        yield f"{each.value}\t{about}" if about else str(each.value)
    yield f":{_NO_FILES if known else _FILES}"
