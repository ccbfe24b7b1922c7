"""
Who may hand objects over to another owner: the verb `adopt` on `owners.userquota.dev`, asked of the API server.
"""

from __future__ import annotations

import msgspec

from webhook.kube.api import ApiError, KubernetesApi
from webhook.ports import UnavailableError
from webhook.quota.objects import Shape, UserInfo

_API_VERSION = "authorization.k8s.io/v1"
_PATH = f"/apis/{_API_VERSION}/subjectaccessreviews"


class AccessStatus(Shape, frozen=True):
    """The answer of all authorizers together."""

    allowed: bool = False


class AccessReview(Shape, frozen=True):
    """A SubjectAccessReview as it comes back."""

    status: AccessStatus


_decoder = msgspec.json.Decoder(AccessReview)


class HandoverRights:
    """Port `HandoverRights`. Each question is asked anew: it is rare, and a right that was taken must not be used."""

    def __init__(self, api: KubernetesApi) -> None:
        """Ask *api*."""
        self._api = api

    async def may_hand_over(self, user: UserInfo, namespace: str, owner: str) -> bool:
        """Return whether *user* may make *owner* pay for objects of *namespace*. See the port."""
        asked = {
            "verb": "adopt",
            "group": "userquota.dev",
            "resource": "owners",
            "namespace": namespace,
            "name": owner,
        }
        spec = {"user": user.username, "groups": user.groups or (), "resourceAttributes": asked}
        body = {"apiVersion": _API_VERSION, "kind": "SubjectAccessReview", "spec": spec}
        try:
            return _decoder.decode(await self._api.create(_PATH, msgspec.json.encode(body))).status.allowed
        except (ApiError, msgspec.MsgspecError) as error:
            why = f"whether {user.username} may hand over could not be asked: {error}"
            raise UnavailableError("api-server", why) from error
