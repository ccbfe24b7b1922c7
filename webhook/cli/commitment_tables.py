"""
What commands print of the commitments that they changed, and of those that wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import click

from webhook.cli.printing import show_document, show_table
from webhook.cli.view_client import NamedCommitment
from webhook.quota.commitments import FINAL, Commitment, Pool, State
from webhook.quota.resources import Amount, show
from webhook.quota.windows import written
from webhook.view.wire import API_VERSION, offered
from webhook.wiring.commitment_editor import Changed, Edited, Served

_HEADS = ("CHANGE", "NAME", "HOLDER", "POOL", "STATE", "AMOUNTS", "FROM", "UNTIL")
ONGOING = frozenset(each.value for each in State if each not in FINAL)
"""The states of what is not over, as the view tells them."""

NOTHING_STORED = "dry run: it would be accepted now, nothing was stored"


def show_edited(edited: Edited, output: str, *, dry_run: bool) -> None:
    """Print what a change made, and on standard error what the API server warned of."""
    _warn(edited.warnings)
    if output in ("json", "yaml"):
        show_document({"dryRun": dry_run, "items": [_item(each) for each in edited.changes]}, output)
    elif output == "name":
        _show_names(edited.changes)
    else:
        _show_changes(edited.changes, dry_run=dry_run)
    if dry_run:
        click.echo(NOTHING_STORED, err=True)


def show_offered(edited: Edited, token: str, output: str, *, dry_run: bool) -> None:
    """Print what an offer changed, and its *token*; no token if *dry_run*, as there is no offer then."""
    _warn(edited.warnings)
    shown = "" if dry_run else token
    if output in ("json", "yaml"):
        document = {"dryRun": dry_run, "items": [_item(each) for each in edited.changes]}
        show_document({**document, "token": shown} if shown else document, output)
    elif output == "table":
        _show_changes(edited.changes, dry_run=dry_run)
        rows = [
            (each.name, "-" if each.offer.until is None else written(each.offer.until), shown)
            for _, each, _ in edited.changes
            if each.offer is not None
        ]
        if shown:
            click.echo()
            show_table(("OFFERED", "UNTIL", "TOKEN"), rows)
    elif shown:
        click.echo(shown)
    if dry_run:
        click.echo(NOTHING_STORED, err=True)


def show_served(served: Served, output: str, *, dry_run: bool) -> None:
    """Print who was confirmed, and who waits for what."""
    edited = served.confirmed
    _warn(edited.warnings)
    if dry_run and edited.changes:
        click.echo(NOTHING_STORED, err=True)
    if output in ("json", "yaml"):
        waiting = [{**_document(each.commitment, State.PENDING), "reason": each.why} for each in served.waiting]
        items = [_item(each) for each in edited.changes]
        show_document({"dryRun": dry_run, "items": items, "waiting": waiting}, output)
    elif output == "name":
        _show_names(edited.changes)
    else:
        if edited.changes:
            _show_changes(edited.changes, dry_run=dry_run)
        if served.waiting:
            if edited.changes:
                click.echo()
            rows = [(*_columns(each.commitment), each.why) for each in served.waiting]
            show_table(("WAITING", "HOLDER", "POOL", "AMOUNTS", "FOR"), rows)
        if not (edited.changes or served.waiting):
            click.echo("Nothing waits.", err=True)


def offered_until(each: NamedCommitment, now: datetime) -> str:
    """Return until when one may be accepted, `-` if it is not offered, or that or the commitment is over."""
    offer = each.spec.offer
    if offer is None or each.status.state not in ONGOING:
        return "-"
    if not offer.until:
        return "until withdrawn"
    return f"until {offer.until}" if now < datetime.fromisoformat(offer.until) else "-"


def pool_name(pool: Pool) -> str:
    """Return a pool as tables name it: `h100:eu-1a`."""
    return ":".join(filter(None, pool))


def amounts_text(amounts: Iterable[tuple[str, Amount]]) -> str:
    """Return amounts as `--amount` takes them."""
    return ",".join(f"{name}={show(name, amount)}" for name, amount in sorted(amounts))


def _warn(warnings: Iterable[str]) -> None:
    for each in warnings:
        click.echo(f"Warning: {each}", err=True)


def _show_names(changes: Iterable[Changed]) -> None:
    for each in changes:
        click.echo(each.commitment.name)


def _show_changes(changes: Sequence[Changed], *, dry_run: bool) -> None:
    rows = []
    for what, each, state in changes:
        name, holder, pool, amounts = _columns(each)
        times = ("-" if moment is None else written(moment) for moment in (each.begins, each.ends))
        done = f"{what.value} (dry run)" if dry_run else what.value
        rows.append((done, name, holder, pool, state.value, amounts, *times))
    show_table(_HEADS, rows)


def _columns(each: Commitment) -> tuple[str, str, str, str]:
    return each.name, each.holder, pool_name(each.pool), amounts_text(each.amounts.items())


def _item(each: Changed) -> dict[str, object]:
    return {**_document(each.commitment, each.state), "change": each.what.value}


def _document(each: Commitment, state: State) -> dict[str, object]:
    """Return a commitment in the form of the view's, without what is used."""
    times = {name: written(at) for name, at in (("from", each.begins), ("until", each.ends)) if at is not None}
    spec = {
        "holder": each.holder,
        "nodeClass": each.pool.node_class,
        **({"zone": each.pool.zone} if each.pool.zone else {}),
        "amounts": {name: show(name, amount) for name, amount in sorted(each.amounts.items())},
        **times,
        **offered(each),
    }
    head = {"apiVersion": API_VERSION, "kind": "Commitment", "metadata": {"name": each.name}}
    return {**head, "spec": spec, "status": {"state": state.value}}
