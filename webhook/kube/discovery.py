"""
What the API says of a kind that only a policy names: `count/widgets.example.com` has no version and no kind.

Source: the discovery documents of group and version, `APIGroup` and `APIResourceList`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from webhook.kinds.counted import counted
from webhook.kinds.evaluator import AnyKind
from webhook.kube.api import UNREADABLE, ApiError, KubernetesApi, NotFoundError
from webhook.ports import UnavailableError
from webhook.quota.errors import WebhookError
from webhook.quota.objects import Shape

T = TypeVar("T")

_NEEDED_VERBS = frozenset({"create", "list", "watch"})


class UnsuitableKindError(WebhookError):
    """Objects of this kind cannot be counted: it is not served, or in no namespace, or cannot be watched."""


class ApiResource(Shape, frozen=True):
    """A kind that the API serves in one version."""

    name: str
    kind: str = ""
    namespaced: bool = False
    verbs: list[str] | None = None


class ApiResourceList(Shape, frozen=True):
    """The kinds of one version; subresources have a slash in their name."""

    resources: list[ApiResource] | None = None


class GroupVersion(Shape, frozen=True):
    """A version of a group."""

    group_version: str


class ApiGroup(Shape, frozen=True):
    """The versions of a group, and the one that the API prefers."""

    preferred_version: GroupVersion | None = None
    versions: list[GroupVersion] | None = None


async def discover(api: KubernetesApi, resource: str) -> AnyKind:
    """
    Return the kind of *resource*, a plural with its group as a policy may write it, as one that is charged by number.

    It has the first version that serves the kind, the preferred one before others: what is counted are metadata, which
    are the same in all. Raises: UnsuitableKindError, UnavailableError.
    """
    plural, _, group = resource.partition(".")
    for version in await _versions(api, group):
        root = f"/apis/{version}" if group else f"/api/{version}"
        found = await _read(api, root, ApiResourceList)
        for each in found.resources or () if found else ():
            if each.name == plural:
                _check(each)
                return counted(resource, version, each.kind)
    raise UnsuitableKindError("the API serves no such kind")


def _check(found: ApiResource) -> None:
    if not found.namespaced:
        raise UnsuitableKindError("its objects are in no namespace")
    if lacking := sorted(_NEEDED_VERBS - set(found.verbs or ())):
        raise UnsuitableKindError(f"the API does not serve {', '.join(lacking)} of it")


async def _versions(api: KubernetesApi, group: str) -> list[str]:
    if not group:
        return ["v1"]
    found = await _read(api, f"/apis/{group}", ApiGroup)
    if found is None:
        return []
    preferred = [found.preferred_version] if found.preferred_version else []
    return list(dict.fromkeys(each.group_version for each in (*preferred, *(found.versions or ()))))


async def _read(api: KubernetesApi, path: str, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(await api.get(path), type=shape)
    except NotFoundError:
        return None
    except (ApiError, *UNREADABLE) as error:
        raise UnavailableError("api-server", f"{path} could not be read: {error}") from error
