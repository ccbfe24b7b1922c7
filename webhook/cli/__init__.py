"""
The command line: parsing and printing only. Each command has a module of its own.

Exit codes: 0 fine, 1 the answer is no (an invalid policy), 2 wrong use or unreadable input, 128 and the number of a
signal that ended it: 130 by Ctrl-C, 141 if nobody reads what it prints, 143 by SIGTERM.
"""

from __future__ import annotations

import difflib
import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType

import click
import structlog

from webhook import __version__
from webhook.cli.errors import tell
from webhook.quota.errors import WebhookError

_COMMANDS = {
    each: each
    for each in (
        "adopt",
        "certs",
        "capacity",
        "charge",
        "check",
        "commitments",
        "denials",
        "doctor",
        "explain",
        "get",
        "local",
        "policy",
        "preflight",
        "preset",
        "selfcheck",
        "serve",
        "top",
    )
}


class _LazyGroup(click.Group):
    """Imports a command when it is used: `charge` must not wait for the Kubernetes client."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. A pipe that nobody reads is no "no", which is what click would exit with."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _discard_output()
            ctx.exit(128 + signal.SIGPIPE)

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
    """Run the command line. An error with a name is told with one prefix and exit code 2, never a traceback."""
    # The first process of a container does not end by a signal that it has no handler for.
    signal.signal(signal.SIGTERM, _end)
    # The output of a command is its answer. `serve` writes its log there, and configures that itself.
    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    try:
        # Click returns the code of an option that ends it, such as --help.
        sys.exit(group.main(prog_name="userquota", standalone_mode=False) or 0)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except click.UsageError as error:
        _tell_usage(error)
        sys.exit(2)
    except (click.ClickException, WebhookError) as error:
        tell(error.format_message() if isinstance(error, click.ClickException) else str(error))
        sys.exit(2)


def _tell_usage(error: click.UsageError) -> None:
    """Print how a command is used, and what is wrong."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    if error.ctx is not None:
        click.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n", err=True)
    tell(_wrong_use(error))


def _wrong_use(error: click.UsageError) -> str:
    match error:
        case click.exceptions.NoSuchCommand(ctx=click.Context(command=click.Group() as commands) as context):
            known = commands.list_commands(context)
            close = difflib.get_close_matches(error.command_name, known, n=1)
            hint = f", did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
            return f"no such command '{error.command_name}'{hint}"
        case click.exceptions.NoSuchOption():
            hint = f", did you mean {error.possibilities[0]}?" if error.possibilities else ""
            return f"no such option '{error.option_name}'{hint}"
    message = error.format_message().removesuffix(".")
    return message[:1].lower() + message[1:]


def _discard_output() -> None:
    """Let what is still buffered go nowhere: at the end of the process it would be one more broken pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
