"""
Who may do what, asked of the API server itself, which asks all its authorizers. Nothing is stored by such a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi
from webhook.ports import Caller, UnavailableError
from webhook.quota.objects import Shape, UserInfo

_API_VERSION = "authorization.k8s.io/v1"


class Right(NamedTuple):
    """
    A verb on a resource, its plural with its group, as in `quotas.view.userquota.dev` or `projects/quota.example.com`;
    in the whole cluster unless a namespace is named.
    """

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
    spec = {"resourceAttributes": _attributes(right)}
    return await _allowed(api, "SelfSubjectAccessReview", spec, failure=f"whether we may {right} could not be asked")


class HandoverRights:
    """
    Port `HandoverRights`: the verb `adopt` on `owners.userquota.dev`, by a SubjectAccessReview.

    Each question is asked anew: it is rare, and a right that was taken away must not be used.
    """

    def __init__(self, api: KubernetesApi) -> None:
        """Ask *api*."""
        self._api = api

    async def may_hand_over(self, user: UserInfo, namespace: str, owner: str) -> bool:
        """Return whether *user* may make *owner* pay for objects of *namespace*. See the port."""
        asked = {**_attributes(Right("adopt", "owners.userquota.dev", namespace)), "name": owner}
        spec = {"user": user.username, "groups": user.groups or (), "resourceAttributes": asked}
        failure = f"whether {user.username} may hand over could not be asked"
        return await _allowed(self._api, "SubjectAccessReview", spec, failure=failure)


class CallersRights:
    """Port `CallerRights`, by a SubjectAccessReview for each question, with all that is known of the user."""

    def __init__(self, api: KubernetesApi) -> None:
        """Ask *api*."""
        self._api = api

    async def may(self, caller: Caller, verb: str, resource: str, *, namespace: str = "", name: str = "") -> bool:
        """Return whether *caller* may do *verb* to *resource*. See the port."""
        right = Right(verb, resource, namespace)
        spec = {
            "user": caller.name,
            "groups": caller.groups,
            "uid": caller.uid,
            "extra": caller.extra,
            "resourceAttributes": {**_attributes(right), "name": name},
        }
        failure = f"whether you may {right} could not be asked"
        return await _allowed(self._api, "SubjectAccessReview", spec, failure=failure)


def _attributes(right: Right) -> dict[str, str]:
    path, _, group = right.resource.partition(".")
    plural, _, subresource = path.partition("/")
    asked = {"verb": right.verb, "group": group, "resource": plural, "namespace": right.namespace}
    return {**asked, "subresource": subresource} if subresource else asked


async def _allowed(api: KubernetesApi, kind: str, spec: Mapping[str, object], *, failure: str) -> bool:
    """Return the answer to a review of *kind*. Raises: UnavailableError, which begins with *failure*."""
    body = msgspec.json.encode({"apiVersion": _API_VERSION, "kind": kind, "spec": spec})
    try:
        answer = _decoder.decode(await api.create(f"/apis/{_API_VERSION}/{kind.lower()}s", body))
    except (ApiError, *UNREADABLE) as error:
        raise UnavailableError("api-server", f"{failure}: {error}") from error
    if answer.status is None:
        raise UnavailableError("api-server", f"{failure}: the answer has no status")
    return answer.status.allowed
