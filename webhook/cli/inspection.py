"""
`userquota get --drift` and `--unattributed`: what the shared ledger holds, and which of it is stored; and what nobody
is known to own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence

import click

from webhook.cli.printing import show_document, show_table
from webhook.ledger.protocol import Ledger
from webhook.quota import resources
from webhook.settings import Settings
from webhook.wiring.inspection import Held, Inspection, Unattributed, inspect_ledger, list_unattributed


def inspect(settings: Settings, *, unattributed: bool, output: str) -> None:
    """Print the objects without an owner, or the ledger. Ends with exit code 1 if the ledger is not in order."""
    if unattributed:
        _show_unattributed(asyncio.run(list_unattributed(settings)), output)
        return
    found = asyncio.run(inspect_ledger(settings))
    if output == "table":
        _show_tables(found)
    else:
        show_document(_document(found), output)
    if not found.is_in_order:
        sys.exit(1)


def _show_unattributed(listed: Sequence[Unattributed], output: str) -> None:
    if output == "table":
        heads = ("RESOURCE", "NAMESPACE", "NAME", "MADE FOR")
        show_table(heads, [(*each.key, each.made_for or "-") for each in listed])
    else:
        show_document([{**each.key._asdict(), "madeFor": each.made_for} for each in listed], output)


def _show_tables(found: Inspection) -> None:
    ledger = found.ledger
    facts = [("LEDGER", found.condition)]
    if ledger is not None:
        settled = ", ".join(f"{name} {version}" for name, version in sorted(ledger.settled_through.items()))
        facts += [
            ("WRITE", str(ledger.write)),
            ("SETTLED THROUGH", settled or "nothing yet"),
            ("RESERVATIONS", str(len(found.held))),
        ]
    facts.append(("WITHOUT A STAMP", str(len(found.unadmitted))))
    show_table(facts[0], facts[1:])
    if found.held:
        click.echo()
        heads = ("OWNER", "RESOURCE", "NAMESPACE", "NAME", "UID", "BASE", "AMOUNTS", "STATE")
        show_table(heads, [_row(each) for each in found.held])
    if ledger is not None and ledger.grants:
        click.echo()
        show_table(("GRANTED TO", "SUBJECT", "RESOURCE", "AMOUNT"), list(_granted(ledger)))
    if found.unadmitted:
        click.echo()
        show_table(("RESOURCE", "NAMESPACE", "NAME WITHOUT A STAMP"), sorted(found.unadmitted))


def _row(held: Held) -> tuple[str, ...]:
    each = held.reservation
    amounts = resources.show_list(each.amounts)
    return (each.payer.owner, *each.key, each.uid or "any", str(each.base), amounts, _state(held))


def _granted(ledger: Ledger) -> Iterator[tuple[str, ...]]:
    for each in ledger.grants.values():
        for key, amount in each.room.items():
            yield each.holder, *key, resources.show(key.resource, amount)


def _state(held: Held) -> str:
    return f"{held.status.value}, not settled for 5 s" if held.is_late else held.status.value


def _document(found: Inspection) -> dict[str, object]:
    ledger = found.ledger
    document: dict[str, object] = {"ledger": {"condition": found.condition}}
    if ledger is not None:
        document["ledger"] = {
            "condition": found.condition,
            "write": ledger.write,
            "settledThrough": dict(ledger.settled_through),
        }
    heads = ("grantedTo", "subject", "resource", "amount")
    document["grants"] = [] if ledger is None else [dict(zip(heads, each, strict=True)) for each in _granted(ledger)]
    document["reservations"] = [_item(each) for each in found.held]
    document["withoutStamp"] = [{**key._asdict(), "uid": each.uid} for key, each in sorted(found.unadmitted.items())]
    return document


def _item(held: Held) -> dict[str, object]:
    each = held.reservation
    return {
        "owner": each.payer.owner,
        "resource": each.key.resource,
        "namespace": each.key.namespace,
        "name": each.key.name,
        "uid": each.uid,
        "base": each.base,
        "amounts": {name: resources.show(name, amount) for name, amount in each.amounts},
        "state": held.status.value,
        "late": held.is_late,
    }
