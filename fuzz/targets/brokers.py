"""
What a quota broker sends: changes of commitments, quotas, and the zones of a report.
"""

from __future__ import annotations

import msgspec

from fuzz.target import Target, promise
from webhook.liquid.changes import changed
from webhook.liquid.confirmation import requires_confirmation
from webhook.liquid.offers import Offer, Offers
from webhook.liquid.requests import (
    CommitmentRequest,
    MalformedError,
    check_changes,
    read_changes,
    read_quotas,
    read_zones,
)
from webhook.quota.commitments import State
from webhook.quota.quantity import NANOS

_LONGEST = 700
"""Bytes of an error about a request, whatever was sent."""

_OFFERS = Offers({name: Offer(name, "a", f"requests.{name}") for name in ("cpu", "memory")})


def check(data: bytes) -> None:
    """Check *data* as each of the three requests with a body."""
    for read in (_changes, _quotas, _zones):
        try:
            read(data)
        except MalformedError as error:
            told = str(error)
            promise(told and told.isprintable() and len(told.encode()) < _LONGEST, "an error", told)


def _changes(data: bytes) -> None:
    request = read_changes(data)
    written = _written(request)
    promise(read_changes(written) == request, "written and read", written)
    if not any(each.new_status in (State.CONFIRMED, State.GUARANTEED) for _, _, each in request.every()) and all(
        each.old_status not in (State.CONFIRMED, State.GUARANTEED) for _, _, each in request.every()
    ):
        promise(not requires_confirmation(request), "nothing is set aside, and it is a question", written)
    check_changes(request, _OFFERS)
    made = changed({}, request, _OFFERS, {project: project for project in request.by_project})
    for name, each in made.items():
        promise(all(amount > 0 for amount in each.amounts.values()), "amounts", name)
        promise(each.begins is None or each.ends is None or each.begins < each.ends, "times", name)
    again = changed(made, request, _OFFERS, {project: project for project in request.by_project})
    promise(again == made, "sent again", written)


def _written(request: CommitmentRequest) -> bytes:
    by_project = {
        project: {"byResource": msgspec.to_builtins(by_resource)} for project, by_resource in request.by_project.items()
    }
    body = {"az": request.zone, "dryRun": request.is_dry_run, "infoVersion": request.info_version}
    return msgspec.json.encode({**body, "byProject": by_project})


def _quotas(data: bytes) -> None:
    for name, units in read_quotas(data, project="p-1").items():
        promise(0 <= units < 2**63, "units", name, units)
        offer = Offer("a_memory", "a", "requests.memory")
        promise(offer.at_least(offer.exact(units)) == offer.at_most(offer.exact(units) + NANOS) == units, units)


def _zones(data: bytes) -> None:
    zones = read_zones(data)
    promise(len(set(zones)) == len(zones) <= 100 and all(zones), "zones", zones)
    for each in zones:
        each.encode()


TARGETS = (
    Target(
        "broker",
        "`liquid/requests.py`, `changes.py`, `confirmation.py`",
        "a request, which is written and read as the same, or an error of one short line; what is sent again changes "
        "nothing",
        check,
    ),
)
