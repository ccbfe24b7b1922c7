"""
Who holds what is taken of the limits that refuse a manifest: of others only what whoever asks may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct

from webhook.admission.check_status import DOES_NOT_FIT, CheckStatus
from webhook.cli.view_client import (
    Allocated,
    Holding,
    Limit,
    NoRightError,
    ViewClient,
    allocations_in,
    holdings,
    statuses,
)
from webhook.quota import resources
from webhook.quota.limits import ONE_OBJECT
from webhook.quota.policy import Mode
from webhook.quota.resources import Amount

_MOST_LIMITS = 4
_MOST_OBJECTS = 5
"""Of each limit; what is below them is one row."""

_Sum = tuple[str, str]
"""A subject, with its scopes as in `chargedTo`, and a resource."""


class Held(Struct, frozen=True):
    """
    What an object takes of a limit on `subject`. Without a `name` it is all that the rows before it do not show.

    `created` is None for what is in flight.
    """

    subject: str
    resource: str
    amount: str
    owner: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    created: str | None = None


async def who_holds(client: ViewClient, status: CheckStatus) -> tuple[Held, ...]:
    """
    Return what is taken of each limit that an object of *status* exceeds, the largest first.

    Empty if everything fits, or where the webhook is too old to tell. Raises: ViewError.
    """
    wanted = dict(islice(_exceeded(status).items(), _MOST_LIMITS))
    if not wanted:
        return ()
    found = await _of_everybody(client, wanted)
    if rest := wanted.keys() - found.keys():
        own = allocations_in(await client.own_allocations(namespace="", resource="")).allocations
        if any(each.charged_to is None for each in own):
            return ()
        found |= {each: _of_asker(own, each) for each in rest}
    taken = await _taken(client, set(wanted.values()))
    return tuple(row for each in wanted for row in _rows(each, found[each], taken))


def _exceeded(status: CheckStatus) -> Mapping[_Sum, str]:
    """Return the sums whose limits refuse something, in the order of the objects, with the namespace of the first."""
    found: dict[_Sum, str] = {}
    for each in status.items:
        for row in each.limits if each.verdict == DOES_NOT_FIT else ():
            if row.exceeded and row.mode == Mode.ENFORCE.value and row.subject != ONE_OBJECT:
                found.setdefault((row.subject, row.resource), each.namespace)
    return found


async def _taken(client: ViewClient, namespaces: Iterable[str]) -> Mapping[_Sum, Amount]:
    """Return what is used and reserved of each sum that whoever asks may see."""
    found: dict[_Sum, Amount] = {}
    for namespace in namespaces:
        try:
            document = await client.own(namespace)
        except NoRightError:
            document = await client.own("")
        rows = (each for status in statuses(document) for each in status.limits)
        found |= {(each.whom, each.resource): _amount(each) for each in rows}
    return found


async def _of_everybody(client: ViewClient, sums: Iterable[_Sum]) -> dict[_Sum, Sequence[Holding]]:
    """Return the largest objects of anybody by sum: none without the right to see them, nor of sums by scopes."""
    found: dict[_Sum, Sequence[Holding]] = {}
    try:
        for subject, resource in sums:
            if not subject.startswith("["):
                document = await client.holders(sort=resource, limit=_MOST_OBJECTS, whom=subject)
                found[subject, resource] = [each for each in holdings(document) if resource in each.amounts]
    except NoRightError:
        return {}
    return found


def _of_asker(own: Iterable[Allocated], each: _Sum) -> Sequence[Holding]:
    """Return what whoever asks holds of a sum."""
    subject, resource = each
    return [
        Holding(one.resource, one.namespace, one.name, one.created, one.committed, one.owner)
        for one in own
        if subject in (one.charged_to or ()) and resource in one.committed
    ]


def _rows(each: _Sum, found: Sequence[Holding], taken: Mapping[_Sum, Amount]) -> Iterator[Held]:
    """Yield the largest objects of a sum, and what remains of it."""
    subject, resource = each
    largest = sorted(found, key=lambda holding: (-_of(holding, resource), holding.created or ""))[:_MOST_OBJECTS]
    for holding in largest:
        place = (holding.resource, holding.namespace, holding.name, holding.created)
        yield Held(subject, resource, holding.amounts[resource], holding.owner, *place)
    rest = taken.get(each, 0) - sum(_of(holding, resource) for holding in largest)
    if rest > 0:
        yield Held(subject, resource, resources.show(resource, rest))


def _of(each: Holding, resource: str) -> Amount:
    return resources.read(resource, each.amounts[resource])


def _amount(each: Limit) -> Amount:
    """Return what is used and reserved of it."""
    return resources.read(each.resource, each.used) + resources.read(each.resource, each.reserved)
