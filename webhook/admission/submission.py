"""
An object on its way through the calls of an API server: what the calls after the mutating one are asked about.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, structs

from webhook.admission.handler import AdmissionHandler
from webhook.admission.patch import applied, steps_of
from webhook.admission.review import AdmissionRequest, AdmissionResponse, ReviewError
from webhook.kinds.as_stored import as_stored
from webhook.kinds.evaluator import PodDefaults, UncountableError
from webhook.kinds.pods import PODS
from webhook.quota.objects import GroupVersionResource, Shape


class _Template(Shape, frozen=True):
    metadata: dict[str, Any] | None = None
    spec: dict[str, Any] | None = None


class _Spec(Shape, frozen=True):
    template: _Template | None = None
    job_template: _Templated | None = None


class _Templated(Shape, frozen=True):
    spec: _Spec = _Spec()


class Submission(NamedTuple):
    """
    The response of the mutating call, and the request of the calls that follow it.

    `pod` is that for one of the pods that a workload makes.
    """

    mutated: AdmissionResponse
    request: AdmissionRequest
    is_workload: bool = False
    pod: AdmissionRequest | None = None


async def mutate(handler: AdmissionHandler, request: AdmissionRequest) -> tuple[AdmissionResponse, AdmissionRequest]:
    """
    Return the response of the mutating call, and the request of the calls that follow, with the object as it is then.

    Raises: ReviewError, UnavailableError, UncountableError.
    """
    mutated = await handler.mutate(request)
    kind = handler.kinds.of_resource(str(request.resource))
    if not mutated.allowed or kind is None:
        return mutated, request
    document = as_stored(kind, applied(msgspec.json.decode(request.object), steps_of(mutated)))
    return mutated, structs.replace(request, object=Raw(msgspec.json.encode(document)))


async def submit(handler: AdmissionHandler, request: AdmissionRequest) -> Submission:
    """
    Return what becomes of *request* in the mutating call.

    Raises: ReviewError, UnavailableError, UncountableError.
    """
    mutated, asked = await mutate(handler, request)
    kind = handler.kinds.of_resource(str(request.resource))
    if not mutated.allowed or kind is None or kind.demand is None:
        return Submission(mutated, asked)
    return Submission(mutated, asked, is_workload=True, pod=await _pod_of(handler, asked))


async def _pod_of(handler: AdmissionHandler, request: AdmissionRequest) -> AdmissionRequest | None:
    """
    Return what is asked of a pod that whoever submits a workload makes by its template; None without a template.

    None as well for one that cannot be read: the advice on the workload says why. Raises: UnavailableError.
    """
    try:
        spec = msgspec.json.decode(request.object, type=_Templated).spec
        template = spec.template if spec.job_template is None else spec.job_template.spec.template
        if template is None:
            return None
        name, uid = f"{request.name}-0", f"a pod of {request.uid}"
        metadata = {**(template.metadata or {}), "name": name, "namespace": request.namespace, "uid": uid}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.spec or {}}
        bounds = await handler.limit_ranges.bounds(request.namespace)
        stored = as_stored(PODS, pod, PodDefaults(bounds))
        asked = structs.replace(
            request,
            resource=GroupVersionResource("", "v1", PODS.plural),
            operation="CREATE",
            name=name,
            object=Raw(msgspec.json.encode(stored)),
            old_object=Raw(b"null"),
        )
        mutated, made = await mutate(handler, asked)
    except (ReviewError, UncountableError, msgspec.MsgspecError):
        return None
    return made if mutated.allowed else None
