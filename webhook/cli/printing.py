"""
Tables as kubectl prints them, in plain columns that awk can read; JSON and YAML.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import click
import yaml

FORMATS = ("table", "json", "yaml")

F = TypeVar("F", bound=Callable[..., object])


def output_option(function: F) -> F:
    """Add the option -o to a command."""
    return output_in(*FORMATS)(function)


def output_in(*formats: str) -> Callable[[F], F]:
    """Return what adds the option -o, with a choice of *formats*, to a command."""
    return click.option("-o", "--output", type=click.Choice(formats), default="table", show_default=True)


def show_document(document: object, output: str) -> None:
    """Print *document* as JSON or YAML."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


def may_colour() -> bool:
    """Whether standard output is a terminal whose user has not asked for no colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def age(seconds: int) -> str:
    """Return a time that has passed as kubectl shows it: `45s`, `12m`, `7h`, `3d`."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{max(seconds, 0)}s"


def age_since(written: str | None) -> str:
    """Return how long ago a time is that the API has *written*, `-` for none."""
    return "-" if written is None else age(int(time.time() - datetime.fromisoformat(written).timestamp()))


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print *rows* in columns under *heads*, three spaces apart."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo("   ".join(padded).rstrip())
