"""From a reviewed object to what it would cost: the charge that is decided on. The cost itself is the evaluator's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from webhook.admission.review import AdmissionRequest, ReviewError
from webhook.attribution.stamp import read_stamp
from webhook.kinds.evaluator import AnyKind
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, subjects
from webhook.quota.reservation import CREATED, Charge, Prior
from webhook.quota.subject import NOBODY, Payer


class Reviewed(NamedTuple):
    """The objects of one review, each decoded once. `old` is what `new` replaces, None for a create."""

    kind: AnyKind
    new: Any
    old: Any | None


def charge_for(request: AdmissionRequest, reviewed: Reviewed, *, payer: Payer, now: datetime | None) -> Charge:
    """
    Return what the object would cost *payer*.

    Raises: ReviewError if a field is missing that the API server always sends; UncountableError.
    """
    kind, new, old = reviewed
    meta = new.metadata
    if not meta.uid:
        raise ReviewError("request.object.metadata.uid is missing", request.uid)
    name = request.name or meta.name
    if not name:
        raise ReviewError("request.name is missing", request.uid)
    key = ObjectKey(kind.resource, request.namespace or meta.namespace, name)
    amounts = kind.evaluator.usage(new, now=now)
    if old is None:
        return Charge(key, meta.uid, CREATED, payer, amounts, cap=kind.cap)
    prior = Prior(read_stamp(old.metadata) or NOBODY, frozenset(), kind.evaluator.usage(old, now=now))
    return Charge(key, meta.uid, _version(old.metadata.resource_version, request), payer, amounts, prior, kind.cap)


def under(policy: Policy, charge: Charge, *, labels: Mapping[str, str]) -> Charge:
    """
    Return *charge* as it counts under *policy* in a namespace with *labels*.

    Of the groups only those that the policy names are kept: a reservation must not carry hundreds that bind nothing.
    """
    if charge.prior is None:
        return replace(charge, payer=policy.named(charge.payer))
    before = policy.named(charge.prior.payer)
    held_by = frozenset(subjects(policy, before, charge.key.namespace, labels))
    return replace(
        charge, payer=policy.named(charge.payer), prior=replace(charge.prior, payer=before, subjects=held_by)
    )


def _version(text: str, request: AdmissionRequest) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ReviewError("request.oldObject.metadata.resourceVersion is not a number", request.uid)
    return int(text)
