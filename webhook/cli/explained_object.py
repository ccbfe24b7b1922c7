"""
`userquota explain KIND/NAME`: who pays for an object and why, what it costs, and in which limits it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from webhook.cli.allocations import told_amounts
from webhook.cli.printing import age_since, show_document, show_table
from webhook.cli.quota_tables import show_rules
from webhook.cli.view_client import (
    Allocated,
    Document,
    Limit,
    NoRightError,
    Status,
    ViewClient,
    ViewError,
    allocations_in,
    statuses,
)
from webhook.kube.api import KubernetesApi
from webhook.quota.subject import Payer
from webhook.wiring.handover_kinds import kind_called
from webhook.wiring.owned_object import OwnedObject, read_object

_IN_FLIGHT = "it is not stored yet: whoever asked for it pays"


@dataclass(frozen=True, slots=True)
class Explained:
    """What is counted for an object, the object itself, None while it is in flight, and the limits it counts in."""

    counted: Allocated
    stored: OwnedObject | None
    limits: tuple[Limit, ...]
    note: str = ""


async def explain_object(api: KubernetesApi, word: str, name: str, namespace: str) -> Explained:
    """
    Return why somebody pays for the object *name* of the kind that *word* means.

    Raises: ViewError, also for an object of others without the right to see them; HandoverError, UnavailableError.
    """
    client, kind = ViewClient(api), await kind_called(api, word)
    own = await client.own_allocations(namespace=namespace, resource=kind.resource)
    counted = _named(own, name)
    is_own = counted is not None
    if counted is None:
        fields = {"status.resource": kind.resource}
        counted = _named(await client.allocations(namespace=namespace, fields=fields), name)
    if counted is None:
        raise ViewError(f"{kind.resource} {namespace}/{name} costs nothing, or there is none")
    if counted.charged_to is None:
        raise ViewError("the userquota of this cluster is older than this command: it does not say where objects count")
    stored = await read_object(api, kind, namespace, name)
    found, note = await _own_limits(client, namespace) if is_own else (statuses(await client.all()), "")
    limits = (each for status in found for each in status.limits if each.hard is not None)
    costs = counted.committed.keys() | counted.reserved.keys()
    binding = tuple(each for each in limits if each.resource in costs and each.whom in counted.charged_to)
    return Explained(counted, stored, binding, note)


def show_explained(found: Explained, output: str) -> None:
    """Print it as tables or as a document."""
    if output != "table":
        show_document(_document(found), output)
        return
    counted = found.counted
    facts = [
        ("PAYER", ",".join((counted.owner, *counted.other_owners))),
        ("WHY", _rule(found.stored)),
        ("GROUPS", ",".join(_groups(found.stored)) or "-"),
        ("STATE", f"{counted.state}, {age_since(counted.created)} old" if counted.created else counted.state),
        ("COSTS", told_amounts(counted.committed)),
        ("IN FLIGHT", told_amounts(counted.reserved)),
        ("COUNTS FOR", ",".join(counted.charged_to or ())),
    ]
    show_table(("OBJECT", f"{counted.resource} {counted.namespace}/{counted.name}"), facts)
    if found.stored is not None and found.stored.above:
        click.echo()
        rows = [(each.name, each.unknown or _owner(each.payer)) for each in found.stored.above]
        show_table(("CONTROLLER", "PAYER"), rows)
    click.echo()
    show_rules([Status(limits=found.limits)])
    if found.note:
        click.echo(f"note: {found.note}", err=True)


async def _own_limits(client: ViewClient, namespace: str) -> tuple[Sequence[Status], str]:
    """Return what binds whoever asks, and what is not told of it."""
    try:
        return statuses(await client.own(namespace)), ""
    except NoRightError:
        note = f"limits of namespace {namespace} and its tenants are told to those who may create pods there"
        return statuses(await client.own("")), note


def _named(document: Document, name: str) -> Allocated | None:
    return next((each for each in allocations_in(document).allocations if each.name == name), None)


def _rule(stored: OwnedObject | None) -> str:
    return _IN_FLIGHT if stored is None else stored.rule


def _groups(stored: OwnedObject | None) -> tuple[str, ...]:
    return stored.payer.groups if stored is not None and stored.payer is not None else ()


def _owner(payer: Payer | None) -> str:
    return "no stamp" if payer is None else payer.owner


def _document(found: Explained) -> dict[str, object]:
    counted, stored = found.counted, found.stored
    return {
        "resource": counted.resource,
        "namespace": counted.namespace,
        "name": counted.name,
        "payer": counted.owner,
        "otherPayers": list(counted.other_owners),
        "rule": _rule(stored),
        "stamp": None if stored is None else _stamp(stored.payer),
        "maker": None if stored is None else _stamp(stored.maker),
        "controllers": [
            {"name": each.name, "stamp": _stamp(each.payer), "unknown": each.unknown}
            for each in (() if stored is None else stored.above)
        ],
        "state": counted.state,
        "created": counted.created,
        "committed": counted.committed,
        "reserved": counted.reserved,
        "chargedTo": list(counted.charged_to or ()),
        "limits": [
            {
                "subject": each.subject,
                "scopes": each.scopes,
                "resource": each.resource,
                "hard": each.hard,
                "mode": each.mode,
                "rule": each.rule,
                "entry": each.entry,
                "place": each.place,
                "until": each.until or None,
            }
            for each in found.limits
        ],
        "note": found.note,
    }


def _stamp(payer: Payer | None) -> dict[str, object] | None:
    return None if payer is None else {"owner": payer.owner, "groups": list(payer.groups)}
