"""
What becomes of the commitments that are known when a broker asks for changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from webhook.liquid.offers import Offers
from webhook.liquid.requests import CommitmentChange, CommitmentRequest, MalformedError
from webhook.quota.commitments import Commitment, Pool, State
from webhook.quota.subject import tenant


def changed(
    known: Mapping[str, Commitment], request: CommitmentRequest, offers: Offers, tenants: Mapping[str, str]
) -> dict[str, Commitment]:
    """
    Return *known* with all changes of *request*. Its resources are among *offers*, its projects among *tenants*.

    Nothing is judged: whoever stores it does. The broker keeps the record of what is over: here it goes. What is
    deleted and not there, or there for another tenant or class because it has moved already, changes nothing, so that a
    request may be repeated. Zone and former status are not compared. One that was offered here stays so, unless its
    tenant, nodes or amount change.
    Raises: MalformedError for what is guaranteed and says no beginning.
    """
    found = dict(known)
    for project, resource, each in request.every():
        if each.stays:
            continue
        there, offer = found.get(each.uuid), offers.by_name[resource]
        if there is not None and (there.holder, there.pool.node_class) == (tenant(tenants[project]), offer.node_class):
            del found[each.uuid]
    for project, resource, each in request.every():
        if each.new_status is not None and each.stays:
            offer = offers.by_name[resource]
            new = Commitment(
                each.uuid,
                tenant(tenants[project]),
                Pool(offer.node_class, request.zone),
                {offer.resource: offer.exact(each.amount)},
                each.new_status,
                _beginning(project, resource, each),
                each.expires_at,
            )
            found[each.uuid] = new.with_offer_of(known.get(each.uuid))
    return found


def _beginning(project: str, resource: str, each: CommitmentChange) -> datetime | None:
    if each.confirm_by is None and each.new_status is State.GUARANTEED:
        where = f"byProject[{project!a}].byResource[{resource!a}]: commitment {each.uuid}: confirmBy"
        raise MalformedError(where, "what is guaranteed begins later: expected a time")
    return each.confirm_by
