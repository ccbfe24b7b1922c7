"""
How a command tells errors.
"""

from __future__ import annotations

import click


def tell(message: str) -> None:
    """Print an error to standard error, with the prefix before each of its lines."""
    for line in message.splitlines():
        click.echo(f"userquota: {line}", err=True)
