"""
What the caller of the API may do, asked of the API server itself. Nothing is stored by such a question.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from webhook.kube.api import ApiError, KubernetesApi
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape

_API_VERSION = "authorization.k8s.io/v1"
_PATH = f"/apis/{_API_VERSION}/selfsubjectaccessreviews"


class Right(NamedTuple):
    """A verb on a resource, its plural with its group; in the whole cluster unless a namespace is named."""

    verb: str
    resource: str
    namespace: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.verb} {self.resource} in {self.namespace or 'the whole cluster'}"


class _Status(Shape, frozen=True):
    allowed: bool = False


class _Answer(Shape, frozen=True):
    status: _Status | None = None


_decoder = msgspec.json.Decoder(_Answer)


async def may(api: KubernetesApi, right: Right) -> bool:
    """Whether we have *right*, by a SelfSubjectAccessReview. Raises: UnavailableError."""
    plural, _, group = right.resource.partition(".")
    asked = {"verb": right.verb, "group": group, "resource": plural, "namespace": right.namespace}
    body = {
        "apiVersion": _API_VERSION,
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    failure = f"whether we may {right} could not be asked"
    try:
        answer = _decoder.decode(await api.create(_PATH, msgspec.json.encode(body)))
    except (ApiError, msgspec.MsgspecError) as error:
        raise UnavailableError("api-server", f"{failure}: {error}") from error
    if answer.status is None:
        raise UnavailableError("api-server", f"{failure}: the answer has no status")
    return answer.status.allowed
