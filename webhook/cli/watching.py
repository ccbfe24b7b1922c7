"""
The option -w: tables that are printed again when they change.

The API group of the view cannot be watched, so they are asked for every two seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import click

from webhook.cli.cluster import Asking
from webhook.cli.view_client import Document, ViewClient, connected

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

_POLL_SECONDS = 2.0


def watch_option(function: F) -> F:
    """Add the option -w to a command."""
    told = "Print the tables again when they change, until you stop it."
    return click.option("-w", "--watch", is_flag=True, help=told)(function)


def run(asked: Callable[[], Coroutine[Any, Any, None]], output: str, *, watch: bool) -> None:
    """Run *asked*, which a user ends who watches. Raises: UsageError if -o *output* is no table that is watched."""
    if watch and output not in ("table", "wide"):
        raise click.UsageError("-w prints tables: leave -o out, or give -o wide")
    try:
        asyncio.run(asked())
    except KeyboardInterrupt:
        if not watch:
            raise
        click.echo()


def show_view(
    asking: Asking,
    read: Callable[[ViewClient], Awaitable[Document]],
    show: Callable[[Document, str], None],
    output: str,
    *,
    watch: bool,
) -> None:
    """Show what *read* returns of the API group, as -o *output* says. Raises: UsageError, ViewError."""

    async def asked() -> None:
        async with connected(*asking) as client:
            await show_changes(lambda: read(client), lambda document: show(document, output), watch=watch)

    run(asked, output, watch=watch)


async def show_changes(read: Callable[[], Awaitable[T]], show: Callable[[T], None], *, watch: bool) -> None:
    """Show what *read* returns; with *watch* for ever, each time that it differs."""
    last = await read()
    show(last)
    while watch:
        await asyncio.sleep(_POLL_SECONDS)
        if (new := await read()) != last:
            last = new
            click.echo()
            show(last)
