"""
`userquota policy`: what is wrong with a policy, before it is in force.
"""

from __future__ import annotations

import click

from webhook.cli import policy_diff, policy_schema, policy_test
from webhook.cli.checked_policy import checked_policy


@click.group("policy")
def command() -> None:
    """Work with policies."""


@command.command("validate")
@click.argument("paths", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Take notes for mistakes: exit with 1 if there is one.")
@click.option("--config-map", multiple=True, metavar="NAME", help="Read this ConfigMap, too, although it has no label.")
def validate(paths: tuple[str, ...], *, strict: bool, config_map: tuple[str, ...]) -> None:
    """
    Check all policies in PATHS as one: every mistake with file, line and column.

    PATHS are files, folders with all that is below them, and - for standard input. A file holds the text of a policy,
    or manifests: of these, ConfigMaps with the label userquota.dev/policy: "true" are policies. What is passed over is
    named; what is valid and surely not meant is noted. Exit code 1 if there is a mistake, 2 if a file cannot be read
    or there is no policy.
    """
    checked_policy(paths, exit_code=1, named=config_map, is_strict=strict)
    click.echo("valid")


command.add_command(policy_diff.command)
command.add_command(policy_schema.command)
command.add_command(policy_test.command)
