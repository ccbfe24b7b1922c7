"""
`userquota policy schema`: the JSON Schema of a policy, for editors.
"""

from __future__ import annotations

import click

from webhook.cli.printing import show_document
from webhook.documents.policy_json_schema import policy_json_schema


@click.command("schema")
def command() -> None:
    """
    Print the JSON Schema of a policy.

    What it refuses is a mistake; `policy validate` finds the others, too.
    """
    show_document(policy_json_schema(), "json")
