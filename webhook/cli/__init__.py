"""
The command line: parsing and printing only. Each command has a module of its own.

Exit codes: 0 fine, 1 the answer is no (an invalid policy), 2 wrong use or unreadable input, 143 ended by SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType

import click

from webhook import __version__
from webhook.quota.errors import WebhookError

_COMMANDS = {
    each: each
    for each in (
        "adopt",
        "charge",
        "check",
        "explain",
        "get",
        "local",
        "policy",
        "preflight",
        "preset",
        "serve",
        "top",
    )
}


class _LazyGroup(click.Group):
    """Imports a command when it is used: `charge` must not wait for the Kubernetes client."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"webhook.cli.{cmd_name}").command
        return command


@click.command(cls=_LazyGroup, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="userquota")
def group() -> None:
    """Hold people, groups, tenants and namespaces of a Kubernetes cluster to their quotas."""


def main() -> None:
    """Run the command line. An error with a name is one line and exit code 2, never a traceback."""
    # The first process of a container does not end by a signal that it has no handler for.
    signal.signal(signal.SIGTERM, _end)
    try:
        group()
    except WebhookError as error:
        click.echo(f"userquota: {error}", err=True)
        sys.exit(2)


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
