"""
From a request about a pod to what it would cost: the charge that is decided on.

Only pods are charged in this release. How a pod's cost is worked out lies in `quota.pod`.
"""

from __future__ import annotations

from collections.abc import Callable

from webhook.admission.review import AdmissionRequest, ReviewError
from webhook.attribution.stamp import read_stamp
from webhook.kinds import pod_cost, registry
from webhook.kinds.pod_shapes import Pod
from webhook.quota.reservation import CREATED, Charge, Prior
from webhook.quota.subject import NOBODY, Payer, Subject


def charge_for(
    request: AdmissionRequest, new: Pod, payer: Payer, *, subjects: Callable[[Payer], tuple[Subject, ...]]
) -> Charge:
    """
    Give what the pod *new* of *request* would cost *payer*; *subjects* tells on whose accounts pods are booked.

    Raises: ReviewError if a field is missing that the API server always sends; PodError for a broken quantity.
    """
    if not new.metadata.uid:
        raise ReviewError("request.object.metadata.uid is missing", request.uid)
    name = request.name or new.metadata.name
    if not name:
        raise ReviewError("request.name is missing", request.uid)
    key = registry.key(request.resource, request.namespace or new.metadata.namespace, name)
    if request.operation == "CREATE":
        return Charge(key, new.metadata.uid, CREATED, payer, pod_cost.booked(new))
    old = request.decode_old(Pod)
    before = read_stamp(old.metadata) or NOBODY
    prior = Prior(before, frozenset(subjects(before)), pod_cost.booked(old))
    return Charge(key, new.metadata.uid, _version(old, request), payer, pod_cost.booked(new), prior)


def _version(old: Pod, request: AdmissionRequest) -> int:
    text = old.metadata.resource_version
    if not (text.isascii() and text.isdecimal()):
        raise ReviewError("request.oldObject.metadata.resourceVersion is not a number", request.uid)
    return int(text)
