"""
`userquota get allocations`: what each object holds of the limits, and what is in flight beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from webhook.cli.printing import age_since, show_document, show_table
from webhook.cli.view_client import Allocated, Allocations, Document, ViewClient, allocations_in
from webhook.quota import resources

NAMES = frozenset({"allocations", "allocation", "allocations.view.userquota.dev"})
"""What people write for them, as for kubectl."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which allocations are asked for: empty is any.

    Without `subject`, `owner` and `everybody` they are those of whoever asks.
    """

    subject: str = ""
    everybody: bool = False
    owner: str = ""
    namespace: str = ""
    resource: str = ""
    selector: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it takes no right to see others."""
        return not (self.subject or self.everybody or self.owner)


async def read(client: ViewClient, wanted: Wanted) -> Document:
    """Return what is *wanted*. Raises: ViewError."""
    if wanted.is_own:
        return await client.own_allocations(
            namespace=wanted.namespace, resource=wanted.resource, selector=wanted.selector
        )
    subject, namespace = wanted.subject, wanted.namespace
    if subject.startswith("namespace/") and not namespace:  # for which the right in that namespace will do
        subject, namespace = "", subject.removeprefix("namespace/")
    fields = {"spec.subject": subject, "status.owner": wanted.owner, "status.resource": wanted.resource}
    given = {name: text for name, text in fields.items() if text}
    return await client.allocations(namespace=namespace, fields=given, selector=wanted.selector)


def show(document: Document, output: str) -> None:
    """Print *document*: as a table the allocations, and what all of them come to."""
    if output in ("json", "yaml"):
        show_document(document, output)
        return
    found = allocations_in(document)
    if output == "name":
        for each in found.allocations:
            click.echo(f"{each.resource}/{each.namespace}/{each.name}")
        return
    if not found.allocations:
        click.echo("No allocations found.", err=True)
        return
    _show_rows(found.allocations, wide=output == "wide")
    click.echo()
    _show_sums(found, wide=output == "wide")


def _show_rows(found: Sequence[Allocated], *, wide: bool) -> None:
    heads = ("RESOURCE", "NAMESPACE", "NAME", "OWNER", "STATE", "AGE", "COMMITTED", "RESERVED")
    show_table(
        (*heads, *(("UID", "TAGS") if wide else ())),
        [
            (
                each.resource,
                each.namespace,
                each.name,
                ",".join((each.owner, *each.other_owners)),
                each.state,
                age_since(each.created),
                *(
                    told_amounts({name: amounts[name] for name in _shown(amounts, wide=wide)})
                    for amounts in (each.committed, each.reserved)
                ),
                *((each.uid or "-", told_amounts(each.tags)) if wide else ()),
            )
            for each in found
        ],
    )


def _show_sums(found: Allocations, *, wide: bool) -> None:
    """Print a line for each resource that is told of a row: `requests.cpu   used 6 = 4 committed + 2 reserved`."""
    cells = (amounts for each in found.allocations for amounts in (each.committed, each.reserved))
    names = {name for amounts in cells for name in _shown(amounts, wide=wide)}
    sums = [each for each in found.sums if wide or each.resource in names]
    width = max((len(each.resource) for each in sums), default=0)
    for each in sums:
        both = (resources.read(each.resource, text) for text in (each.committed, each.reserved))
        used = resources.show(each.resource, sum(both))
        click.echo(
            f"{each.resource.ljust(width)}   used {used} = {each.committed} committed + {each.reserved} reserved"
        )


def told_amounts(pairs: Mapping[str, str]) -> str:
    """Return amounts, or other pairs, in a cell."""
    return ",".join(f"{name}={text}" for name, text in pairs.items()) or "-"


def _shown(amounts: Mapping[str, str], *, wide: bool) -> list[str]:
    """Return what is told of *amounts*; objects by number with *wide* or if there is nothing else."""
    names = [name for name in amounts if wide or not name.startswith("count/")]
    return names or list(amounts)
