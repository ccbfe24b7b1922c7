"""
An object on its way through the calls of an API server: what the calls after the mutating one are asked about.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Raw, structs

from webhook.admission.handler import AdmissionHandler
from webhook.admission.patch import applied, steps_of
from webhook.admission.review import AdmissionRequest, AdmissionResponse
from webhook.kinds.as_stored import as_stored


class Submission(NamedTuple):
    """The response of the mutating call, and the request of the calls that follow it."""

    mutated: AdmissionResponse
    request: AdmissionRequest
    is_workload: bool = False


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
    return Submission(mutated, asked, is_workload=True)
